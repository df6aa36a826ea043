"""The driver's side of joint training: start Ray's TorchTrainer, turn its last checkpoint into an artifact."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hydra_ray.config import Config
from hydra_ray.config.pair_kinds import pair_kind
from hydra_ray.env import train_variables
from hydra_ray.errors import UserError
from hydra_ray.models.heads import Deltas
from hydra_ray.store.heads.spec import HeadSpec
from hydra_ray.training.artifacts.trained_scorer import BASE, MODEL, fingerprint
from hydra_ray.training.artifacts.user_heads import write_heads
from hydra_ray.training.joint.checkpoint import read_bucket
from hydra_ray.training.joint.concepts import write_centres
from hydra_ray.training.joint.file_tail import FileTail
from hydra_ray.training.joint.loop import train_worker
from hydra_ray.training.joint.trackers import check_trackers, metrics_file


def train(
    config: Config,
    kinds: Sequence[str],
    groups: Path,
    seed: int,
    name: str,
    vectors: Path | None,
    profiles: Path | None,
    symmetric: bool,
    evidence: int,
    scratch: Path,
    out: Path,
    say: Callable[[str], None] = print,
) -> dict[str, float]:
    """Trains base and heads of every kind on the groups in `groups` (Parquet); writes artifacts to out/KIND.

    vectors: the encoding cache. profiles: the training users' (Parquet), for `mixture`.
    symmetric: whether both texts of a pair are of one kind (reranker).
    evidence: numbers per row beside its text (see `RankingExample`).
    scratch: Ray Train's storage; a training that was cut short and is found there goes on with its next step.
    say: gets the workers' progress lines.
    Returns the last training loss by kind. Raises UserError if a worker fails for good.
    """
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError

    check_trackers(config.train.trackers)
    parts = scratch.resolve() / "parts"
    progress = scratch.resolve() / "progress"
    centres = scratch.resolve() / "centres.safetensors"
    fatal = scratch.resolve() / "fatal"
    fatal.unlink(missing_ok=True)
    if pair_kind(config.model.pair).centres and not centres.exists():
        write_centres(config.model, groups, vectors, seed, centres)
    job = {
        "groups": str(groups.resolve()),
        "profiles": str(profiles.resolve()) if profiles else None,
        "plugins": list(config.plugins),
        "model": config.model.model_dump(mode="json"),
        "train": config.train.model_dump(mode="json"),
        "seed": seed,
        "name": name,
        "vectors": str(vectors) if vectors else None,
        "symmetric": symmetric,
        "evidence": evidence,
        "centres": str(centres),
        "kinds": list(kinds),
        "progress": str(progress),
        "metrics": str(scratch.resolve() / "metrics"),
        "fatal": str(fatal),
        "out": str(parts),
    }
    fewest, most = config.train.min_workers, config.train.num_workers
    trainer = TorchTrainer(
        train_worker,
        train_loop_config=job,
        torch_config=TorchConfig(backend="nccl" if config.train.gpu else "gloo"),
        scaling_config=ScalingConfig(num_workers=(fewest, most) if fewest else most, use_gpu=config.train.gpu),
        run_config=RunConfig(
            name="train",
            storage_path=str(scratch.resolve()),
            failure_config=FailureConfig(max_failures=config.train.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            worker_runtime_env={"env_vars": train_variables(gpu=config.train.gpu)},
        ),
    )
    try:
        with FileTail(progress, say):
            trainer.fit()
    except TrainingFailedError as error:
        if fatal.exists():
            raise UserError(fatal.read_text()) from None
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"{name}: training failed {config.train.max_failures + 1} times, last: {reason}") from error
    losses = {}
    for kind in kinds:
        for file in (MODEL, BASE):
            (out / kind).mkdir(parents=True, exist_ok=True)
            shutil.copy(parts / kind / file, out / kind / file)
        shapes = {name: tuple(value.shape[1:]) for name, value in next(trained_heads(parts / kind))[2].items()}
        if shapes:
            model, base = config.model, fingerprint(out / kind)
            spec = HeadSpec(kind, model.pair_dim, model.rank, shapes, base, config.data.buckets)
            write_heads(out / kind, spec, trained_heads(parts / kind))
        *_, last = metrics_file(scratch / "metrics", f"{name} {kind}").read_text().splitlines()
        losses[f"loss_{kind}"] = json.loads(last)["loss"]
    shutil.copytree(scratch / "metrics", out / "metrics", dirs_exist_ok=True)
    return losses


def trained_heads(folder: Path) -> Iterator[tuple[int, list[str], Deltas]]:
    """Bucket, users and deltas as the workers left them."""
    for file in sorted(folder.glob("heads-*.safetensors")):
        users, state = read_bucket(file)
        deltas = {name.removeprefix("delta."): value for name, value in state.items() if name.startswith("delta.")}
        yield int(file.stem.removeprefix("heads-")), users, deltas
