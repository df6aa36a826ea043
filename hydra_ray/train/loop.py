"""What one training worker does: own some buckets' heads, share the base through DeepSpeed."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from hydra_ray.config import ModelConfig, TrainConfig
from hydra_ray.errors import UserError
from hydra_ray.models.encoder import TextEncoder
from hydra_ray.models.facets import balance_loss
from hydra_ray.models.heads import Deltas
from hydra_ray.models.losses import loss_sum
from hydra_ray.models.pairs import Concepts
from hydra_ray.models.scorer import Batch, Scorer
from hydra_ray.models.vector_cache import CachedEncoder
from hydra_ray.train import base_state, checkpoint
from hydra_ray.train.artifact import needs_encoder_in_module, save_base
from hydra_ray.train.checkpoint import Progress
from hydra_ray.train.engine import make_engine
from hydra_ray.train.follow import append_line
from hydra_ray.train.groups import Group
from hydra_ray.train.head_table import HeadTable
from hydra_ray.train.plan import Step
from hydra_ray.train.profiles import Profiles, read_profiles
from hydra_ray.train.share import Share
from hydra_ray.train.tracker import make_tracker

PROGRESS_SECONDS = 5.0
DONE = "done"
"""Written last into a kind's results."""

Report = Callable[[dict[str, float], Path], None]
"""Takes metrics and this rank's part of a checkpoint; a barrier."""


def train_worker(job: dict[str, Any]) -> None:
    """The `train_loop_per_worker` of Ray's TorchTrainer; `job` as in `train_kinds`."""
    import ray.train

    context = ray.train.get_context()
    latest = ray.train.get_checkpoint()

    def report(metrics: dict[str, float], folder: Path) -> None:
        ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))

    with ExitStack() as stack:
        start = Path(stack.enter_context(latest.as_directory())) if latest else None
        train_kinds(job, context.get_world_rank(), context.get_world_size(), start, report)


def train_kinds(job: Mapping[str, Any], rank: int, world: int, start: Path | None, report: Report) -> None:
    """Trains one head kind after the other; the process group must be up if there are several workers.

    job: groups, profiles (folders; profiles for `facets` alone), model, train, seed, name, vectors (folder of the
    encoding cache or None), symmetric, evidence, centres (file), kinds (head kinds to train one after the other on the
    same groups), progress (file that takes rank 0's lines), metrics (folder), fatal (file that takes the reason why
    trying again is useless) and out (each kind's result goes to out/KIND). start: a checkpoint of this job, of any
    number of workers.
    """
    fatal = Path(job["fatal"])
    if fatal.exists():
        raise UserError(fatal.read_text())
    share = Share(Path(job["groups"]), rank, world)
    try:
        for kind in job["kinds"]:
            done = Path(job["out"]) / kind / DONE
            finished = done.exists()
            barrier(world)
            if not finished:
                Worker(job, kind, share, rank, start).run(report)
    except UserError as error:
        fatal.write_text(str(error))
        raise


def barrier(world: int) -> None:
    """Waits for all workers."""
    if world > 1:
        torch.distributed.barrier()


class Worker:
    """One rank and one head kind: its groups, its head table, its DeepSpeed engine."""

    def __init__(self, job: Mapping[str, Any], kind: str, share: Share, rank: int, start: Path | None) -> None:
        self.model = ModelConfig.model_validate({**job["model"], "head": kind})
        self.train = TrainConfig.model_validate(job["train"])
        self.seed, self.name, self.rank, self.world = int(job["seed"]), f"{job['name']} ({kind})", rank, share.world
        self.share, self.lines, self.out = share, Path(job["progress"]), Path(job["out"]) / kind
        self.device = torch.device("cuda", torch.cuda.current_device()) if self.train.gpu else torch.device("cpu")
        self.at = Progress(0, 0, 0, 0.0, [], self.model.model_dump(mode="json"))
        found = checkpoint.load_progress(start, self.at.model) if start else None
        self.inputs = share.inputs(self.model, Path(job["vectors"]) if job["vectors"] else None, self.device, self._say)
        if isinstance(self.inputs, Tensor) and self.train.gpu and self.train.bf16:
            self.inputs = self.inputs.bfloat16()
        torch.manual_seed(self.seed)
        self.evidence = int(job["evidence"])
        scorer = self._scorer(job)
        self.heads = HeadTable(scorer.head, share.users())
        self.profiles = None
        if kind == "facets":
            vectors = Path(job["vectors"]) if job["vectors"] else None
            mine = read_profiles(Path(job["profiles"]), self.heads.buckets)
            self.profiles = Profiles(mine, CachedEncoder(self.model, vectors))
        if start and found:
            masters, moments = checkpoint.load_base(start)
            scorer.load_state_dict(masters, strict=False)
        self.engine = make_engine(scorer, self.train)
        if start and found:
            self._first_step()
            base_state.load_optimizer_state(self.engine, masters, moments)
            checkpoint.load_heads(start, self.heads)
            self.at = found
            self._say(f"continuing after epoch {found.epoch} step {found.step}")
        self.tracker = None
        if rank == 0:
            settings = {**self.at.model, **job["train"], "seed": self.seed}
            run, folder = f"{job['name']} {kind}", Path(job["metrics"])
            self.tracker = make_tracker(self.train.trackers, folder, run, settings, self.at.total)
        self.saved_at = time.monotonic()

    def _scorer(self, job: Mapping[str, Any]) -> Scorer:
        """The same on every rank."""
        encoder = None
        if needs_encoder_in_module(self.model):
            encoder = TextEncoder(self.model)
            if self.train.activation_checkpointing:
                encoder.model.gradient_checkpointing_enable()
        self.encoder_width = encoder.width if encoder else int(self.inputs.shape[-1])  # type: ignore[union-attr]
        scorer = Scorer(self.model, encoder, self.encoder_width, job["symmetric"], self.evidence)
        if isinstance(scorer.interaction, Concepts):
            scorer.interaction.centres.data = load_file(job["centres"])["centres"]
        return scorer

    def run(self, report: Report) -> None:
        """Trains from where the checkpoint was to the end and leaves the result. Every rank must call it."""
        rows, busiest = sum(self.share.rows), self.share.imbalance()
        self._say(f"{rows} rows, workers {self.world}; the busiest has {busiest:.2f} times the mean")
        for epoch in range(self.at.epoch, self.train.epochs):
            self._epoch(epoch, report)
        if self.tracker:
            self.tracker.close()
        self.out.mkdir(parents=True, exist_ok=True)
        weights = base_state.weights(self.engine)
        if self.rank == 0:
            save_base(weights, self.model, self.encoder_width, self.evidence, self.out)
        for bucket in self.heads.buckets:
            checkpoint.save_bucket(self.heads, bucket, self.out)
        barrier(self.world)
        if self.rank == 0:
            (self.out / DONE).touch()

    def _epoch(self, epoch: int, report: Report) -> None:
        self.engine.train()
        steps = self.share.plan(self.train.batch, self.seed, epoch)
        rows = sum(step.rows for step in steps)
        before = self.at.loss  # of this epoch's steps that the checkpoint has
        loss, first, began, spoke = 0.0, self.at.step, time.monotonic(), time.monotonic()
        for number, step in enumerate(steps[first:], first + 1):
            last = number == len(steps)
            loss += self._step(step, epoch, number)
            self.at = replace(self.at, epoch=epoch, step=number, total=self.at.total + 1)
            if time.monotonic() - spoke > PROGRESS_SECONDS or (last and epoch + 1 == self.train.epochs):
                spoke = time.monotonic()
                left = len(steps) * (self.train.epochs - epoch) - number
                eta = (spoke - began) / (number - first) * left
                self._say(f"epoch {epoch + 1}/{self.train.epochs} step {number}/{len(steps)} ETA {eta:.0f} s")
            if last or number % self.train.checkpoint_steps == 0:
                due = self._agree(time.monotonic() - self.saved_at >= self.train.checkpoint_s)
                if not due and not last:
                    continue
                whole = before + float(self._sum(torch.tensor(loss)))
                metrics = {"loss": whole / sum(s.rows for s in steps[:number]), "epoch": epoch + number / len(steps)}
                metrics["rows_per_s"] = sum(s.rows for s in steps[first:number]) / (time.monotonic() - began)
                if self.tracker:
                    self.tracker.log(self.at.total, metrics)
                self.at = replace(self.at, loss=whole)
                if last:
                    self.at = replace(self.at, epoch=epoch + 1, step=0, loss=0.0)
                if due:
                    self._checkpoint(metrics, report)
        if epoch + 1 == self.train.epochs and self.rank == 0:
            self._say(f"mean training loss {metrics['loss']:.4f} over {rows} rows")

    def _step(self, step: Step, epoch: int, number: int) -> float:
        """One optimiser step; returns the loss summed over this worker's rows."""
        # Of a step's own, so that a run that was cut short draws the same dropout as one that was not.
        torch.manual_seed(hash((self.seed, epoch, number, self.rank)))
        groups = [self.share.groups[i] for i in step.groups[self.rank]]
        users = sorted({g.user_id for g in groups})
        rows = torch.as_tensor([self.heads.row_of[user] for user in users], dtype=torch.int64)
        local = {user: i for i, user in enumerate(users)}
        taken = self.heads.take(rows, self.device)
        total, routed_F = 0.0, torch.zeros(self.model.facets)
        for part in parts_of(groups, self.train.accumulate):
            # Where nothing of this batch is ours, DeepSpeed's collectives still need every rank and every parameter:
            # a row of weight zero with a delta of zero.
            if not part:
                batch, deltas = self._empty_batch(), self._blank()
            elif self.profiles:
                # Each query on its own, for its profile leaves out the record that it asks.
                batch, deltas = (
                    self.share.texts.batch(part, range(len(part))),
                    self.profiles.of_groups(part, self.device),
                )
            else:
                batch, deltas = self.share.texts.batch(part, [local[g.user_id] for g in part]), taken
            loss, prior = self._loss(batch, deltas)
            if not torch.isfinite(loss):
                raise UserError(self._diverged(part, epoch, number, float(loss)))
            # DeepSpeed averages over workers and micro-batches: times their number over all rows makes it the mean over
            # the global batch.
            self.engine.backward((loss + prior) * (self.world * self.train.accumulate / step.rows))
            self.engine.step()
            total += float(loss.detach())
            if self.profiles:
                routed_F += self._routed(batch)
        if groups:
            self.heads.update(rows, taken, self.train.delta_lr, scale=1.0 / self.world)
        if self.profiles:
            self.at = replace(self.at, routed=(self._sum(routed_F) / step.rows).tolist())
        return total

    def _loss(self, batch: Batch, deltas: Deltas) -> tuple[Tensor, Tensor]:
        """The loss, and the deltas' prior or the facets' balance; both summed over rows."""
        batch = Batch(*(getattr(batch, name).to(self.device) for name in Batch.__slots__))
        logits = self.engine(self.inputs, batch, deltas)
        loss = loss_sum(logits.float(), batch.label, batch.mask, self.train.loss)
        if not self.profiles:
            return loss, delta_prior(deltas, batch) * self.train.delta_decay
        _, probability_GF = self.engine.module.routed
        routed_F = torch.tensor(self.at.routed or [0.0] * self.model.facets, device=self.device)
        return loss, balance_loss(probability_GF.float(), routed_F, batch.mask.sum(1)) * self.train.balance

    def _routed(self, batch: Batch) -> Tensor:
        """The rows that each facet has taken part in, shared among those mixed, [F]."""
        weights_GF, _ = self.engine.module.routed
        chosen_GF = (weights_GF.detach() > 0).float().cpu()
        rows_GF: Tensor = chosen_GF / chosen_GF.sum(1, keepdim=True) * batch.mask.sum(1, keepdim=True)
        return rows_GF.sum(0)

    def _blank(self) -> Deltas:
        """Deltas, or profiles, of nobody."""
        return self.profiles.blank(self.device) if self.profiles else self.heads.blank(self.device)

    def _first_step(self) -> None:
        """A step that changes nothing: the optimiser's state exists only after one."""
        groups = self.engine.optimizer.param_groups
        rates = [group["lr"] for group in groups]
        for group in groups:
            group["lr"] = 0.0
        for _ in range(self.train.accumulate):
            loss, _ = self._loss(self._empty_batch(), self._blank())
            self.engine.backward(loss)
            self.engine.step()
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate

    def _checkpoint(self, metrics: dict[str, float], report: Report) -> None:
        weights, moments = base_state.weights(self.engine), base_state.optimizer_state(self.engine)
        with tempfile.TemporaryDirectory() as folder:
            if self.rank == 0:
                checkpoint.save_base(Path(folder), self.at, weights, moments)
            for bucket in self.heads.buckets:
                checkpoint.save_bucket(self.heads, bucket, Path(folder))
            report(metrics, Path(folder))
        self.saved_at = time.monotonic()

    def _agree(self, due: bool) -> bool:
        """Rank 0's view, on every rank."""
        said = torch.tensor([float(due)], device=self.device)
        if self.world > 1:
            torch.distributed.broadcast(said, src=0)
        return bool(said.item())

    def _sum(self, values: Tensor) -> Tensor:
        """The sum over workers."""
        summed = values.to(self.device, torch.float64)
        if self.world > 1:
            torch.distributed.all_reduce(summed)
        return summed.cpu()

    def _empty_batch(self) -> Batch:
        zero = torch.zeros(1, 1)
        index = torch.zeros(1, dtype=torch.int64)
        return Batch(index, index.unsqueeze(1), zero, zero.clone(), index, torch.zeros(1, 1, self.evidence))

    def _diverged(self, part: Sequence[Group], epoch: int, number: int, loss: float) -> str:
        where = f"{self.name}: the loss is {loss} in epoch {epoch + 1} step {number}"
        if isinstance(self.inputs, Tensor) and not torch.isfinite(self.inputs).all():
            bad = next(i for i, vector in enumerate(self.inputs) if not torch.isfinite(vector).all())
            return f"{where}: the encoding of {self.share.texts.texts[bad][:60]!r} is not finite; check model.encoder"
        users = ", ".join(sorted({g.user_id for g in part})[:3])
        return f"{where} (users {users}, ...); lower train.head_lr or train.delta_lr. The last two checkpoints are kept"

    def _say(self, line: str) -> None:
        if self.rank == 0:
            append_line(self.lines, f"{self.name}: {line}")


def parts_of(groups: Sequence[Group], count: int) -> list[list[Group]]:
    """The groups in `count` nearly equal parts, some of them empty."""
    return [list(groups[i::count]) for i in range(count)]


def delta_prior(taken: Deltas, batch: Batch) -> Tensor:
    """Squared norms of the users' deltas, each as often as the user has labelled rows in the batch."""
    rows_g = batch.mask.sum(1)
    total = rows_g.new_zeros(())
    for value in taken.values():
        total = total + (value.flatten(1).square().sum(1)[batch.user] * rows_g).sum()
    return total
