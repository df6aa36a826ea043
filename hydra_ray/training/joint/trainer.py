"""The driver's side of joint training: start Ray's TorchTrainer, turn its last checkpoint into an artifact."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ray.train import UserCallback

from hydra_ray.config.pair_kinds import pair_kind
from hydra_ray.config.resources import train_scaling, worker_range
from hydra_ray.env import train_variables
from hydra_ray.errors import UserError
from hydra_ray.store.heads.spec import HeadSpec
from hydra_ray.training.artifacts.trained_scorer import BASE, MODEL, fingerprint
from hydra_ray.training.artifacts.user_heads import HeadsOfBucket, write_heads
from hydra_ray.training.joint.checkpoint import read_bucket
from hydra_ray.training.joint.concepts import write_centres
from hydra_ray.training.joint.file_tail import FileTail
from hydra_ray.training.joint.loop import train_worker
from hydra_ray.training.joint.trackers import check_trackers, metrics_file
from hydra_ray.training.joint.train_job import TrainJob
from hydra_ray.utils.ray_data import alive_nodes
from hydra_ray.utils.ray_errors import find_user_error, unwrap_user_errors


class StopOnUserError(UserCallback):  # type: ignore[misc]  # Ray Train has no types
    """Ends the training at a user's mistake, however many failures are allowed: the next attempt would meet it, too."""

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Runs in Ray Train's controller, which tries again after workers' exceptions, but not after this one."""
        for error in worker_exceptions.values():
            found = find_user_error(error)
            if found is not None:
                raise found


def train(job: TrainJob, buckets: int, out: Path, log: Callable[[str], None] = print) -> dict[str, float]:
    """Trains base and heads of every kind on the job's groups; writes artifacts to out/KIND.

    buckets: of the head stores. log: gets the workers' progress lines. Ray Train's storage is `job.scratch`; a training
    that was cut short and is found there goes on with its next step.
    Returns the last training loss by kind. Raises UserError if a worker fails for good.
    """
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError

    from hydra_ray.training.joint.network_interface import RoutedTorchConfig

    settings = job.train
    check_trackers(settings.trackers)
    if pair_kind(job.model.pair).centres and not job.centres.exists():
        write_centres(job.model, job.groups, job.embedding_store, job.seed, job.centres)
    wanted = job.resources
    workers = worker_range(wanted, alive_nodes)
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={"job": job},
        # NCCL refuses two ranks on one device.
        torch_config=RoutedTorchConfig(backend="nccl" if wanted.num_gpus >= 1 else "gloo"),
        scaling_config=ScalingConfig(**train_scaling(wanted, workers)),
        run_config=RunConfig(
            name="train",
            storage_path=str(job.scratch),
            failure_config=FailureConfig(max_failures=settings.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            worker_runtime_env={"env_vars": train_variables(gpu=wanted.num_gpus > 0)},
            callbacks=[StopOnUserError()],
        ),
    )
    try:
        with FileTail(job.progress, log), unwrap_user_errors():
            trainer.fit()
    except TrainingFailedError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"{job.name}: training failed {settings.max_failures + 1} times, last: {reason}") from error
    losses = {}
    for kind in job.kinds:
        learned = job.result(kind)
        for file in (MODEL, BASE):
            (out / kind).mkdir(parents=True, exist_ok=True)
            shutil.copy(learned / file, out / kind / file)
        shapes = {name: tuple(value.shape[1:]) for name, value in next(trained_heads(learned)).deltas.items()}
        if shapes:
            spec = HeadSpec(kind, job.model.pair_dim, job.model.rank, shapes, fingerprint(out / kind), buckets)
            write_heads(out / kind, spec, trained_heads(learned))
        *_, last = metrics_file(job.metrics, f"{job.name} {kind}").read_text().splitlines()
        losses[f"loss_{kind}"] = json.loads(last)["loss"]
    shutil.copytree(job.metrics, out / "metrics", dirs_exist_ok=True)
    return losses


def trained_heads(folder: Path) -> Iterator[HeadsOfBucket]:
    """The heads as the workers left them."""
    for file in sorted(folder.glob("heads-*.safetensors")):
        users, state = read_bucket(file)
        deltas = {name.removeprefix("delta."): value for name, value in state.items() if name.startswith("delta.")}
        yield HeadsOfBucket(int(file.stem.removeprefix("heads-")), users, deltas)
