"""One rank of a fine-tuning: its share of every step's rows, its DeepSpeed engine, epochs, and the best one so far.

The loss of a step is the mean cross-entropy over the learned tokens of its rows, whatever rank and micro-batch they are
in. A checkpoint, at an epoch's end and at most one in `train.checkpoint_interval_s`, holds the engine's state,
`at.json`, and `best.safetensors` where an epoch is better than what was there before.
"""

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from hydra_ray.core.hashing import stable_seed
from hydra_ray.errors import UserError
from hydra_ray.training.checkpoint_timer import CheckpointTimer
from hydra_ray.training.finetune.finetune_job import FinetuneJob, read_rows
from hydra_ray.training.finetune.language_model import load_language_model
from hydra_ray.training.joint import zero_state
from hydra_ray.training.joint.engine import agree, base_bytes, scaled_lr, sum_over_workers
from hydra_ray.training.joint.engine_state import EngineState, start_engine
from hydra_ray.training.joint.file_tail import PROGRESS, append_line
from hydra_ray.training.pace import Pace
from hydra_ray.training.ray_loop import Report, ray_worker
from hydra_ray.training.user_lora.plan import UserPlan
from hydra_ray.training.user_lora.rows import TokenRow
from hydra_ray.utils.device import explained_out_of_memory, free_memory, seed_draws, worker_device, workers_of_node

AT, BEST, SUMMARY = "at.json", "best.safetensors", "summary.json"
HELD_OUT_ROWS = 8
"""Of a rank, in one forward."""


@dataclass
class FinetuneProgress:
    """How far a fine-tuning is.

    Attributes:
        epoch: Epochs that are done.
        best_epoch: The one that is kept; 0: the LLM as it was.
        before, best: Held-out loss of the LLM as it was, and of what is kept, nats a learned token; None without
            held-out rows.
        epochs: Training and held-out loss of each.
    """

    epoch: int = 0
    best_epoch: int = 0
    before: float | None = None
    best: float | None = None
    epochs: list[dict[str, float | None]] | None = None


def train_worker(config: dict[str, FinetuneJob]) -> None:
    """The `train_loop_per_worker` of Ray's TorchTrainer, whose config holds the `job`."""
    with ray_worker(whole=True) as worker:
        FinetuneWorker(config["job"], worker.rank, worker.world).run(worker.start, worker.report)


class FinetuneWorker:
    """See the module's docstring. Every rank has one, and all of them do the same steps."""

    def __init__(self, job: FinetuneJob, rank: int, world: int) -> None:
        self.job, self.rank, self.world = job, rank, world
        self.device = worker_device(job.resources.num_gpus)
        self.rows = read_rows(job.rows)
        self.base = load_language_model(job.base)
        config, self.train = job.config, job.engine(world)
        self.plan = UserPlan(
            "all", self.rows.learned, self.rows.held_out, config.batch_rows, config.epochs, config.warmup, job.seed
        )

    def run(self, start: Path | None, report: Report) -> None:
        """Trains and leaves the best epoch's weights in `job.result`. start: a checkpoint to go on from.

        Raises UserError for a model that does not fit, rows that it cannot read, and a loss that is not finite.
        """
        engine = self._engine(start)
        at, best = FinetuneProgress(epochs=[]), dict[str, Tensor]()
        if start is not None:
            at, best = _load(start)
            self._log(f"continuing after epoch {at.epoch}")
        else:
            at.before = at.best = self._held_out(engine)
            stage = self.train.zero_stage
            how = "without DeepSpeed" if stage is None else f"ZeRO stage {stage}"
            self._log(f"{len(self.rows.learned):,} rows, {len(self.rows.held_out):,} held out, workers {self.world}, "
                      f"{how}")  # fmt: skip
        steps = self.plan.steps_of_epoch
        timer = CheckpointTimer(self.job.train.checkpoint_interval_s, self.device, self.world)
        pace = Pace(self._log, self.plan.epochs)
        for epoch in range(at.epoch, self.plan.epochs):
            engine.train()
            loss = 0.0
            for number in range(steps):
                loss += self._step(engine, epoch * steps + number) / steps
                pace.step(epoch, number + 1, steps)
            reached = self._held_out(engine)
            assert at.epochs is not None
            at.epochs.append({"loss": loss, "held_out": reached})
            at.epoch = epoch + 1
            better = agree(reached is None or at.best is None or reached < at.best, self.device, self.world)
            if better:
                best.clear()  # before there is another
                at.best, at.best_epoch, best = reached, at.epoch, zero_state.weights(engine, copied=True)
            beyond = "" if reached is None else f", held out {reached:.4f} (before training {at.before:.4f})"
            self._log(f"epoch {at.epoch} of {self.plan.epochs}: {loss:.4f} nats a token{beyond}")
            if timer.due():
                self._checkpoint(at, EngineState.of(engine, best if better else None), best, report)
                timer.restart()
        if self.rank == 0:
            self.job.result.mkdir(parents=True, exist_ok=True)
            if best:
                save_file(best, self.job.result / BEST)
            (self.job.result / SUMMARY).write_text(json.dumps(asdict(at)))

    def _engine(self, start: Path | None) -> Any:
        """A DeepSpeed engine around the LLM, or around what a checkpoint holds."""
        job, base = self.job, self.base
        if any(base.too_long(row) for row in (*self.rows.learned, *self.rows.held_out)):
            raise UserError(f"finetune.max_tokens={job.config.max_tokens}: the LLM reads {base.longest} tokens at "
                            f"most: set finetune.max_tokens={base.longest} or less")  # fmt: skip
        model = base.model.requires_grad_(True)
        if job.train.activation_checkpointing:
            model.gradient_checkpointing_enable()
        free = free_memory(self.device, job.resources.num_gpus, workers_of_node())
        needed = base_bytes(model, self.train, self.device)
        if self.rank == 0 and self.device.type == "cpu":
            needed += 4 * model.num_parameters()  # of the best epoch
        if needed > free:
            raise UserError(f"{job.name}: {model.num_parameters():,} weights with gradients and moments take "
                            f"{needed / 1e9:.2f} GB a worker, {free / 1e9:.2f} GB are left: give train.zero_stage=3 "
                            "with train.offload=parameters, larger devices, or take task_lora")  # fmt: skip
        learned = EngineState.load(start) if start else None
        return start_engine(model, self.train, self.device, learned, lambda engine: 0 * self._loss(engine, []))

    def _step(self, engine: Any, step: int) -> float:
        """One optimiser step; its loss, nats a learned token."""
        rows = [self.plan.learned[i] for i in self.plan.batch(step)]
        mine, parts = rows[self.rank :: self.world], self.job.train.gradient_accumulation_steps
        tokens, total = sum(row.learned for row in rows), 0.0
        seed_draws(stable_seed("finetune dropout", self.job.seed, self.rank, step), self.device)
        with scaled_lr(engine, self.plan.rate(step)), explained_out_of_memory(partial(self._no_memory, step)):
            for part in (mine[i::parts] for i in range(parts)):
                loss = self._loss(engine, part)
                total += float(loss.detach())
                # DeepSpeed averages over workers and micro-batches.
                engine.backward(loss * (self.world * parts / tokens))
                engine.step()
        whole = float(sum_over_workers(torch.tensor(total, dtype=torch.float64), self.device, self.world)) / tokens
        if not math.isfinite(whole):
            raise UserError(f"{self.job.name}: the loss is {whole} in step {step + 1}: lower finetune.lr, or look at "
                            "the LLM's weights")  # fmt: skip
        return whole

    def _no_memory(self, step: int) -> str:
        job = self.job
        return (
            f"{job.name}: out of memory on {self.device} in step {step + 1}: raise train.gradient_accumulation_steps "
            f"(now {job.train.gradient_accumulation_steps}), lower finetune.max_tokens (now {job.config.max_tokens}) "
            "or set train.activation_checkpointing=true"
        )

    def _loss(self, model: Any, rows: Sequence[TokenRow]) -> Tensor:
        """Summed over the rows' learned tokens, nats; of none 0, after a forward all the same: ZeRO 3 gathers in it."""
        return self.base.losses(model, rows or self.rows.learned[:1], self.device).sum() * bool(rows)

    @torch.no_grad()
    def _held_out(self, engine: Any) -> float | None:
        """The mean over the held-out rows' learned tokens, nats; None without rows. Every rank must call it."""
        rows = self.rows.held_out
        if not rows:
            return None
        engine.eval()
        total, stride = 0.0, HELD_OUT_ROWS * self.world
        for first in range(0, len(rows), stride):
            mine = rows[first + self.rank * HELD_OUT_ROWS :][:HELD_OUT_ROWS]
            total += float(self._loss(engine, mine if first + self.rank * HELD_OUT_ROWS < len(rows) else []))
        summed = sum_over_workers(torch.tensor(total, dtype=torch.float64), self.device, self.world)
        return float(summed) / sum(row.learned for row in rows)

    def _checkpoint(self, at: FinetuneProgress, learned: EngineState, best: dict[str, Tensor], report: Report) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if self.rank == 0:
                learned.save(folder)
                (folder / AT).write_text(json.dumps(asdict(at)))
                if best:
                    save_file(best, folder / BEST)
            assert at.epochs
            report({name: value for name, value in at.epochs[-1].items() if value is not None}, folder)

    def _log(self, line: str) -> None:
        if self.rank == 0:
            append_line(self.job.scratch / PROGRESS, f"{self.job.name}: {line}")


def _load(folder: Path) -> tuple[FinetuneProgress, dict[str, Tensor]]:
    """A checkpoint's progress and best weights. Raises UserError if a file is missing or broken."""
    try:
        at = FinetuneProgress(**json.loads((folder / AT).read_text()))
        return at, load_file(folder / BEST) if at.best_epoch else {}
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise UserError(f"{folder}: the checkpoint cannot be read ({error}); remove it to start over") from None
