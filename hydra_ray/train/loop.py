"""What one Ray Train worker does: own some buckets' heads, share the base through DeepSpeed."""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as pads
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hydra_ray.config import ModelConfig, TrainConfig
from hydra_ray.models.encoder import TextEncoder
from hydra_ray.models.heads import Deltas
from hydra_ray.models.losses import loss_sum
from hydra_ray.models.pairs import Concepts
from hydra_ray.models.scorer import Batch, Scorer
from hydra_ray.models.text_vectors import text_vectors
from hydra_ray.models.vector_cache import CachedEncoder
from hydra_ray.train.artifact import needs_encoder_in_module, save_base
from hydra_ray.train.engine import full_state, make_engine
from hydra_ray.train.follow import append_line
from hydra_ray.train.groups import Group, TextTable, groups_from_table
from hydra_ray.train.head_table import HeadTable
from hydra_ray.train.plan import Step, owner_of, plan_epoch

PROGRESS_SECONDS = 5.0


def train_worker(job: dict[str, Any]) -> None:
    """The `train_loop_per_worker` of Ray's TorchTrainer.

    `job`: groups (folder), model, train, seed, name, vectors (folder of the encoding cache or None), symmetric,
    evidence, centres (file), kinds (head kinds to train one after the other on the same groups), progress (file that
    takes rank 0's lines) and out (each kind's result goes to out/KIND).
    """
    import ray.train

    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    finished = [
        kind for kind in job["kinds"] if all(_rank_files(Path(job["out"]) / kind, r)[-1].exists() for r in range(world))
    ]
    if world > 1:
        torch.distributed.barrier()
    checkpoint = ray.train.get_checkpoint()
    for kind in job["kinds"]:
        if kind in finished:
            continue
        worker = Worker(job, kind, rank, world)
        start = worker.restore(checkpoint)
        for epoch in range(start, worker.train.epochs):
            metrics = worker.run_epoch(epoch)
            if not worker.checkpoint_is_due():
                continue
            with tempfile.TemporaryDirectory() as folder:
                worker.save(Path(folder), epoch + 1)
                ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))
        worker.save_result(Path(job["out"]) / kind)


def _rank_files(folder: Path, rank: int) -> tuple[Path, Path]:
    """Where a rank leaves its heads and, written last, its users."""
    return folder / f"heads-{rank:05d}.safetensors", folder / f"users-{rank:05d}.json"


class Worker:
    """One rank: its groups, its head table, its DeepSpeed engine."""

    def __init__(self, job: dict[str, Any], kind: str, rank: int, world: int) -> None:
        self.model = ModelConfig.model_validate({**job["model"], "head": kind})
        self.train = TrainConfig.model_validate(job["train"])
        self.seed, self.name, self.rank, self.world = int(job["seed"]), f"{job['name']} ({kind})", rank, world
        self.progress = Path(job["progress"])
        self.device = torch.device("cuda", torch.cuda.current_device()) if self.train.gpu else torch.device("cpu")
        # The plan needs every group's bucket and size; the texts are read for this worker's own users alone.
        source = pads.dataset(job["groups"], format="parquet")
        index = source.to_table(columns=["bucket", "label"])
        self.buckets = index.column("bucket").to_pylist()
        self.rows = [sum(y is not None for y in label) for label in index.column("label").to_pylist()]
        mine = [i for i, bucket in enumerate(self.buckets) if owner_of(bucket, world) == rank]
        self.groups: dict[int, Group] = dict(zip(mine, groups_from_table(source.take(mine)), strict=True))
        self.texts = TextTable(list(self.groups.values()))
        self.inputs: list[str] | Tensor = self.texts.texts
        if needs_encoder_in_module(self.model):
            encoder = TextEncoder(self.model)
            self.encoder_width = encoder.width
        else:
            encoder = None
            self._say(f"encoding {len(self.texts.texts)} texts once, or reading them from the cache")
            cached = CachedEncoder(self.model, Path(job["vectors"]) if job["vectors"] else None)
            vectors = text_vectors(cached, self.texts.texts or [""], self.model.pair, self.model.sentences)
            self.encoder_width = vectors.shape[-1]
            self.inputs = vectors.to(self.device)
            if self.train.gpu and self.train.bf16:
                self.inputs = self.inputs.bfloat16()
        torch.manual_seed(self.seed)
        self.evidence = int(job["evidence"])
        scorer = Scorer(self.model, encoder, self.encoder_width, job["symmetric"], self.evidence)
        if isinstance(scorer.interaction, Concepts):
            scorer.interaction.centres.data = load_file(job["centres"])["centres"]
        self.heads = HeadTable(scorer.head, sorted({g.user_id for g in self.groups.values()}))
        self.metrics: dict[str, float] = {}
        self.saved_at = time.monotonic()
        # Every rank draws the same base; dropout then differs by rank.
        self.engine = make_engine(scorer, self.train)
        torch.manual_seed(self.seed * 1009 + rank)

    def restore(self, checkpoint: Any) -> int:
        """Continues from a checkpoint of this run; returns the epoch to start with."""
        if checkpoint is None:
            return 0
        with checkpoint.as_directory() as folder:
            state = json.loads((Path(folder) / "progress.json").read_text())
            if state["kind"] != self.model.head:
                return 0
            if state["world"] != self.world:
                self._say(f"checkpoint of {state['world']} workers does not fit {self.world}: starting over")
                return 0
            self.engine.load_checkpoint(folder, tag="engine")
            self.heads.load_state(load_file(_rank_files(Path(folder), self.rank)[0]))
        self._say(f"continuing after epoch {state['epoch']}")
        return int(state["epoch"])

    def checkpoint_is_due(self) -> bool:
        """Whether `train.checkpoint_s` have passed since the last checkpoint by rank 0's clock. Every rank must ask."""
        due = torch.tensor([float(time.monotonic() - self.saved_at >= self.train.checkpoint_s)], device=self.device)
        if self.world > 1:
            torch.distributed.broadcast(due, src=0)
        if due.item():
            self.saved_at = time.monotonic()
        return bool(due.item())

    def save(self, folder: Path, epoch: int) -> None:
        """This rank's part of a checkpoint. Every rank must call it."""
        self.engine.save_checkpoint(str(folder), tag="engine")
        save_file(self.heads.state(), _rank_files(folder, self.rank)[0])
        if self.rank == 0:
            progress = {"epoch": epoch, "world": self.world, "kind": self.model.head}
            (folder / "progress.json").write_text(json.dumps(progress))

    def save_result(self, out: Path) -> None:
        """This rank's heads and users; rank 0 adds the consolidated base. Every rank must call it."""
        state = full_state(self.engine, self.train.zero_stage)
        out.mkdir(parents=True, exist_ok=True)
        if self.rank == 0:
            save_base(state, self.model, self.encoder_width, self.evidence, out)
            (out / "metrics.json").write_text(json.dumps(self.metrics))
        heads, users = _rank_files(out, self.rank)
        save_file(self.heads.state(), heads)
        users.write_text(json.dumps(self.heads.user_ids))

    def run_epoch(self, epoch: int) -> dict[str, float]:
        """One pass over all groups; returns the mean loss per labelled row, of all workers."""
        self.engine.train()
        steps = plan_epoch(self.buckets, self.rows, self.world, self.train.batch, self.seed, epoch)
        total, began, spoke = 0.0, time.monotonic(), time.monotonic()
        for number, step in enumerate(steps, 1):
            total += self._step(step)
            if time.monotonic() - spoke > PROGRESS_SECONDS or (number == len(steps) and epoch + 1 == self.train.epochs):
                spoke = time.monotonic()
                left = len(steps) * (self.train.epochs - epoch) - number
                eta = (spoke - began) / number * left
                self._say(f"epoch {epoch + 1}/{self.train.epochs} step {number}/{len(steps)} ETA {eta:.0f} s")
        summed = torch.tensor([total], dtype=torch.float64)
        if self.world > 1:
            summed = summed.to(self.device)
            torch.distributed.all_reduce(summed)
        rows = sum(step.rows for step in steps)
        loss = float(summed) / max(1, rows)
        if epoch + 1 == self.train.epochs:
            self._say(f"mean training loss {loss:.4f} over {rows} rows")
        self.metrics = {"loss": loss, "epoch": epoch + 1, "rows": rows}
        return self.metrics

    def _step(self, step: Step) -> float:
        groups = [self.groups[i] for i in step.groups[self.rank]]
        users = sorted({g.user_id for g in groups})
        rows = torch.as_tensor([self.heads.row_of[user] for user in users], dtype=torch.int64)
        taken = self.heads.take(rows, self.device)
        if groups:
            local = {user: i for i, user in enumerate(users)}
            batch = self.texts.batch(groups, [local[g.user_id] for g in groups])
        else:
            # Nothing of this batch is ours, but DeepSpeed's collectives need every rank and every parameter: a row of
            # weight zero with a delta of zero.
            batch, taken = self._empty_batch(), self.heads.blank(self.device)
        batch = Batch(*(getattr(batch, name).to(self.device) for name in Batch.__slots__))
        logits = self.engine(self.inputs if len(self.inputs) else [""], batch, taken)
        loss = loss_sum(logits.float(), batch.label, batch.mask, self.train.loss)
        prior = delta_prior(taken, batch) * self.train.delta_decay
        # DeepSpeed averages over workers: times their number over all rows makes it the mean over the global batch.
        self.engine.backward((loss + prior) * (self.world / step.rows))
        self.engine.step()
        if groups:
            self.heads.update(rows, taken, self.train.delta_lr, scale=1.0 / self.world)
        return float(loss.detach())

    def _empty_batch(self) -> Batch:
        zero = torch.zeros(1, 1)
        index = torch.zeros(1, dtype=torch.int64)
        return Batch(index, index.unsqueeze(1), zero, zero.clone(), index, torch.zeros(1, 1, self.evidence))

    def _say(self, line: str) -> None:
        if self.rank == 0:
            append_line(self.progress, f"{self.name}: {line}")


def delta_prior(taken: Deltas, batch: Batch) -> Tensor:
    """Squared norms of the users' deltas, each as often as the user has labelled rows in the batch."""
    rows_g = batch.mask.sum(1)
    total = rows_g.new_zeros(())
    for value in taken.values():
        total = total + (value.flatten(1).square().sum(1)[batch.user] * rows_g).sum()
    return total


def merge_heads(folder: Path) -> tuple[list[str], dict[str, Tensor]]:
    """All ranks' users and deltas, sorted by user id: independent of who owned whom."""
    users: list[str] = []
    parts: list[dict[str, Tensor]] = []
    for file in sorted(folder.glob("users-*.json")):
        users += json.loads(file.read_text())
        parts.append(load_file(_rank_files(folder, int(file.stem.removeprefix("users-")))[0]))
    order = torch.from_numpy(np.argsort(np.asarray(users, dtype=object), kind="stable").astype(np.int64))
    names = sorted(name.removeprefix("delta.") for name in parts[0] if name.startswith("delta."))
    merged = {name: torch.cat([part[f"delta.{name}"] for part in parts])[order] for name in names}
    return [users[int(i)] for i in order], merged
