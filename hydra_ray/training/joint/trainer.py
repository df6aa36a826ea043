"""The driver's side of joint training: have Ray Train's workers train, turn what they leave into an artifact."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from hydra_ray.config.pair_kinds import pair_kind
from hydra_ray.store.heads.spec import HeadSpec
from hydra_ray.training.artifacts.trained_scorer import BASE, MODEL, fingerprint
from hydra_ray.training.artifacts.user_heads import HeadsOfBucket, write_heads
from hydra_ray.training.joint.checkpoint import read_bucket
from hydra_ray.training.joint.concepts import write_centres
from hydra_ray.training.joint.loop import train_worker
from hydra_ray.training.joint.trackers import check_trackers, metrics_file
from hydra_ray.training.joint.train_job import TrainJob
from hydra_ray.training.ray_workers import run_workers


def train(job: TrainJob, buckets: int, out: Path, log: Callable[[str], None] = print) -> dict[str, float]:
    """Trains base and heads of every kind on the job's ranking examples; writes artifacts to out/KIND.

    buckets: of the head stores. log: gets the workers' progress lines. Ray Train's storage is `job.scratch`; a training
    that was cut short and is found there goes on with its next step.
    Returns the last training loss by kind. Raises UserError if a worker fails for good.
    """
    check_trackers(job.train.trackers)
    if pair_kind(job.model.pair).centres and not job.centres.exists():
        write_centres(job.model, job.ranking_examples, job.embedding_store, job.seed, job.centres)
    run_workers(train_worker, job, job.train, job.resources, job.name, job.scratch, log)
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
