"""Joint training on one worker: epochs of steps, progress, metrics and checkpoints."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from hydra_ray.training.checkpoint_timer import CheckpointTimer
from hydra_ray.training.joint.trackers import Tracker, make_tracker
from hydra_ray.training.joint.train_job import TrainJob
from hydra_ray.training.joint.worker import Worker
from hydra_ray.training.joint.worker_shard import WorkerShard
from hydra_ray.training.pace import Pace
from hydra_ray.training.ray_loop import Report, ray_worker
from hydra_ray.utils.plugins import load_modules

DONE = "done"
"""Written last into a kind's results."""


def train_worker(config: dict[str, TrainJob]) -> None:
    """The `train_loop_per_worker` of Ray's TorchTrainer, whose config holds the `job`."""
    load_modules(config["job"].plugins)
    with ray_worker(whole=False) as worker:
        train_kinds(config["job"], *worker)


def train_kinds(job: TrainJob, rank: int, world: int, start: Path | None, report: Report) -> None:
    """Trains one head kind after the other; the process group must be up if there are several workers.

    start: a checkpoint of this job, of any number of workers. Raises UserError where trying again is useless, perhaps
    on one rank alone.
    """
    share = WorkerShard(job.ranking_examples, rank, world)
    for kind in job.kinds:
        finished = (job.result(kind) / DONE).exists()
        barrier(world)
        if not finished:
            Loop(job, Worker(job, kind, share, rank, start), report).run(job.result(kind))


def barrier(world: int) -> None:
    """Waits for all workers."""
    if world > 1:
        torch.distributed.barrier()


class Loop:
    """The epochs that are left to a worker. Every rank must make one and run it."""

    def __init__(self, job: TrainJob, worker: Worker, report: Report) -> None:
        self._worker, self._report = worker, report
        self._tracker: Tracker | None = None
        if worker.rank == 0:
            settings = {**worker.at.model, **job.train.model_dump(mode="json"), "seed": worker.seed}
            run = f"{job.name} {worker.model.head}"
            self._tracker = make_tracker(worker.train.trackers, job.metrics, run, settings, worker.at.total)
        self._timer = CheckpointTimer(job.train.checkpoint_interval_s, worker.device, worker.world)
        self._pace = Pace(worker.log, job.train.epochs)

    def run(self, out: Path) -> None:
        """Trains to the end and leaves the result in `out`, DONE last."""
        worker = self._worker
        rows, busiest = sum(worker.share.rows), worker.share.imbalance()
        worker.log(f"{rows} rows, workers {worker.world}; the busiest has {busiest:.2f} times the mean")
        for epoch in range(worker.at.epoch, worker.train.epochs):
            self._epoch(epoch)
        if self._tracker:
            self._tracker.close()
        worker.save_result(out)
        barrier(worker.world)
        if worker.rank == 0:
            (out / DONE).touch()

    def _epoch(self, epoch: int) -> None:
        worker, train = self._worker, self._worker.train
        worker.engine.train()
        steps = worker.share.plan(train.batch_size, worker.seed, epoch)
        rows = sum(step.rows for step in steps)
        before = worker.at.loss  # of this epoch's steps that the checkpoint has
        loss, first, began = 0.0, worker.at.step, time.monotonic()
        for number, step in enumerate(steps[first:], first + 1):
            last = number == len(steps)
            worker.following = None if last else steps[number]
            loss += worker.step(step, epoch, number)
            worker.at = replace(worker.at, epoch=epoch, step=number, total=worker.at.total + 1)
            self._pace.step(epoch, number, len(steps))
            if last or number % train.checkpoint_steps == 0:
                due = self._timer.due()
                if not due and not last:
                    continue
                whole = before + float(worker.sum(torch.tensor(loss)))
                metrics = {"loss": whole / sum(s.rows for s in steps[:number]), "epoch": epoch + number / len(steps)}
                metrics["rows_per_s"] = sum(s.rows for s in steps[first:number]) / (time.monotonic() - began)
                if self._tracker:
                    self._tracker.log(worker.at.total, metrics)
                worker.at = replace(worker.at, loss=whole)
                if last:
                    worker.at = replace(worker.at, epoch=epoch + 1, step=0, loss=0.0)
                if due:
                    self._checkpoint(metrics)
        if epoch + 1 == train.epochs and worker.rank == 0:
            worker.log(f"mean training loss {metrics['loss']:.4f} over {rows} rows")

    def _checkpoint(self, metrics: dict[str, float]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self._worker.save(Path(folder))
            self._report(metrics, Path(folder))
        self._timer.restart()
