"""One rank of joint training: its users' examples and heads, its engine, and a step of them."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from hydra_ray.config.head_kinds import head_kind
from hydra_ray.errors import UserError
from hydra_ray.models.encoder import TextEncoder
from hydra_ray.models.heads import Deltas
from hydra_ray.models.losses import loss_sum
from hydra_ray.models.mixture import balance_loss
from hydra_ray.models.scorer import PairBatch, PairScorer
from hydra_ray.models.text_embeddings import text_embeddings
from hydra_ray.training.artifacts.trained_scorer import save_base
from hydra_ray.training.joint import checkpoint
from hydra_ray.training.joint.checkpoint import TrainState
from hydra_ray.training.joint.embedding_file import EmbeddingFile, read_batch
from hydra_ray.training.joint.engine import check_fits, sum_over_workers
from hydra_ray.training.joint.engine_state import EngineState, start_engine
from hydra_ray.training.joint.file_tail import append_line
from hydra_ray.training.joint.head_plan import HeadSizes, Place, plan_heads
from hydra_ray.training.joint.plan import Step
from hydra_ray.training.joint.ranking_examples import RankingExample
from hydra_ray.training.joint.train_job import TrainJob
from hydra_ray.training.joint.user_head_table import UserHeadTable
from hydra_ray.training.joint.worker_shard import WorkerShard
from hydra_ray.training.user_fit.profiles import Profiles, read_profiles
from hydra_ray.utils.device import CPU, explained_out_of_memory, free_memory, seed_draws, worker_device, workers_of_node


class Worker:
    """One rank and one head kind. `at` says where training is; the caller of `step` moves it."""

    def __init__(self, job: TrainJob, kind: str, share: WorkerShard, rank: int, start: Path | None) -> None:
        """start: a checkpoint to go on from. Every rank must make one."""
        self.model, self.train = job.model.model_copy(update={"head": kind}), job.train
        self.seed, self.name, self.rank, self.world = job.seed, f"{job.name} ({kind})", rank, share.world
        self.share, self.lines = share, job.progress
        self.device = worker_device(job.resources.num_gpus)
        self.at = TrainState(0, 0, 0, 0.0, [], self.model.model_dump(mode="json"))
        # Optimiser steps in the last checkpoint; epoch and number of the last step.
        self._saved, self._stepped = 0, (0, 0)
        found = checkpoint.load_progress(start, self.at.model, job.kinds) if start else None
        free = free_memory(self.device, job.resources.num_gpus, workers_of_node())
        self.inputs = share.inputs(self.model, job.embedding_store, self.device, free, self.log)
        if isinstance(self.inputs, Tensor) and self.train.precision == "bf16":
            self.inputs = self.inputs.bfloat16()
        torch.manual_seed(self.seed)
        self.feature_width, self.symmetric = job.feature_width, job.symmetric
        scorer = self._scorer(job)
        self.heads = UserHeadTable(scorer.head, share.users(), self.device, self._place(scorer, job))
        self.following: Step | None = None
        self.profiles = None
        if head_kind(kind).routed:
            assert job.profiles is not None
            mine = read_profiles(job.profiles, self.heads.buckets)
            self.profiles = Profiles(mine, text_embeddings(self.model, job.embedding_store, self.device))
        learned = EngineState.load(start) if start and found else None
        self.engine = start_engine(scorer, self.train, self.device, learned, self._empty_loss)
        if start and found:
            checkpoint.load_heads(start, self.heads)
            self.at = found
            self._saved, self._stepped = found.total, (found.epoch, found.step)
            self.log(f"continuing after epoch {found.epoch} step {found.step}")

    def _place(self, scorer: PairScorer, job: TrainJob) -> Place | None:
        """Where this worker's heads live; None: on the CPU, which computes, too. Raises UserError where they, or the
        base, have no room."""
        numbers = sum(math.prod(value.shape) for value in scorer.head.learned(1).values())
        sizes = HeadSizes(len(self.share.users()), numbers, self.train.batch_size)
        host = free_memory(CPU, 0, workers_of_node())
        if self.device == CPU:
            plan_heads(sizes, None, host - check_fits(scorer, self.train, CPU, host, scorer.config.encoder))
            return None
        free = free_memory(self.device, job.resources.num_gpus)
        base = check_fits(scorer, self.train, self.device, free, scorer.config.encoder)
        return plan_heads(sizes, free - base, host)

    def _scorer(self, job: TrainJob) -> PairScorer:
        """The same on every rank."""
        encoder = None
        if self.model.encoder_in_scorer:
            encoder = TextEncoder(self.model)
            if self.train.activation_checkpointing:
                encoder.model.gradient_checkpointing_enable()
        self.encoder_width = encoder.width if encoder else int(self.inputs.shape[-1])  # type: ignore[union-attr]
        scorer = PairScorer(self.model, encoder, self.encoder_width, self.symmetric, self.feature_width)
        scorer.precision = self.train.precision
        if scorer.pair.centres:
            assert scorer.interaction is not None
            scorer.interaction.get_parameter("centres").data = load_file(job.centres)["centres"]
        return scorer

    def save(self, folder: Path) -> None:
        """This rank's part of a checkpoint. Every rank must call it, and raises UserError where any may not save."""
        learned = self._learned()
        if self.rank == 0:
            learned.save(folder)
            checkpoint.save_progress(folder, self.at)
        self._save_heads(folder)
        self._saved = self.at.total

    def save_result(self, out: Path) -> None:
        """This rank's part of what was learned. As `save`."""
        learned = self._learned()
        out.mkdir(parents=True, exist_ok=True)
        if self.rank == 0:
            save_base(learned.weights, self.model, self.encoder_width, self.feature_width, out, self.symmetric)
        self._save_heads(out)

    def _learned(self) -> EngineState:
        """What the base has learned. Raises UserError, on every rank, if it or any rank's heads are not finite."""
        learned = EngineState.of(self.engine)
        if self.sum(torch.tensor(float(not (self.heads.finite() and learned.finite())))):
            epoch, number = self._stepped
            where = f"{self.name}: weights or heads are not finite after epoch {epoch + 1} step {number}"
            raise UserError(f"{where}; {self._advice()}")
        return learned

    def _save_heads(self, folder: Path) -> None:
        for bucket in self.heads.buckets:
            checkpoint.save_bucket(self.heads, bucket, folder)

    def step(self, step: Step, epoch: int, number: int) -> float:
        """One optimiser step; returns the loss summed over this worker's rows. The heads of `following`, the step after
        it, are fetched meanwhile."""
        with explained_out_of_memory(partial(self._no_memory, step, epoch, number)):
            return self._step(step, epoch, number)

    def _no_memory(self, step: Step, epoch: int, number: int) -> str:
        return (
            f"{self.name}: out of memory on {self.device} in epoch {epoch + 1} step {number}, a batch of {step.rows} "
            f"rows of which worker {self.rank} has {len(step.examples[self.rank])} queries: lower train.batch_size "
            f"(now {self.train.batch_size}) or raise train.gradient_accumulation_steps (now "
            f"{self.train.gradient_accumulation_steps})"
        )

    def _users(self, step: Step) -> tuple[list[RankingExample], list[str], Tensor]:
        """A step's queries of this worker, their users, and the rows of those in the table."""
        examples = [self.share.examples[i] for i in step.examples[self.rank]]
        users = sorted({example.user_id for example in examples})
        return examples, users, torch.as_tensor([self.heads.row_of[user] for user in users], dtype=torch.int64)

    def _step(self, step: Step, epoch: int, number: int) -> float:
        # Of a step's own, so that a run that was cut short draws the same dropout as one that was not.
        seed_draws(hash((self.seed, epoch, number, self.rank)), self.device)
        examples, users, rows = self._users(step)
        local = {user: i for i, user in enumerate(users)}
        taken = self.heads.take(rows)
        if self.following is not None:
            self.heads.prefetch(self._users(self.following)[2])
        total, routed_F = 0.0, torch.zeros(self.model.num_experts, device=self.device)
        parts = parts_of(examples, self.train.gradient_accumulation_steps)
        for position, part in enumerate(parts, 1):
            # Where nothing of this batch is ours, the engine's collectives still need every rank and every parameter:
            # a row of weight zero with a delta of zero.
            if not part:
                batch, deltas = self._empty_batch(), self._blank()
            elif self.profiles:
                # Each query on its own, for its profile leaves out the item that it asks.
                batch = self.share.texts.batch(part, range(len(part)))
                deltas = self.profiles.of_examples(part, self.device)
            else:
                batch, deltas = self.share.texts.batch(part, [local[example.user_id] for example in part]), taken
            inputs, batch = self._read(batch)
            loss, prior = self._loss(inputs, batch, deltas)
            if not math.isfinite(value := float(loss.detach())):
                raise UserError(self._diverged(part, epoch, number, value))
            # The engine averages over workers and micro-batches: times their number over all rows makes it the mean
            # over the global batch.
            self.engine.backward((loss + prior) * (self.world * len(parts) / step.rows))
            if position == len(parts) and examples:  # while the base's gradients are on the wire
                self.heads.update(rows, taken, self.train.user_lr, scale=1.0 / self.world)
            self.engine.step()
            total += value
            if self.profiles:
                routed_F += self._routed(batch)
        if self.profiles:
            self.at = replace(self.at, routed=(self.sum(routed_F) / step.rows).tolist())
        self._stepped = epoch, number
        return total

    def _read(self, batch: PairBatch) -> tuple[list[str] | Tensor, PairBatch]:
        """What the scorer reads for a batch, and the batch, on the device."""
        if not isinstance(self.inputs, EmbeddingFile):
            return self.inputs, batch.to(self.device)
        embeddings, batch = read_batch(self.inputs, batch)
        if self.train.precision == "bf16":
            embeddings = embeddings.bfloat16()
        return embeddings.to(self.device), batch.to(self.device)

    def _loss(self, inputs: list[str] | Tensor, batch: PairBatch, deltas: Deltas) -> tuple[Tensor, Tensor]:
        """The loss, and the deltas' prior or the experts' balance; both summed over rows."""
        logits = self.engine(inputs, batch, deltas)
        loss = loss_sum(logits.float(), batch.label, batch.mask, self.train.loss)
        if not self.profiles:
            return loss, delta_prior(deltas, batch) * self.train.user_l2
        _, probability_QF = self.engine.module.routed
        routed_F = torch.tensor(self.at.routed or [0.0] * self.model.num_experts, device=self.device)
        return loss, balance_loss(probability_QF.float(), routed_F, batch.mask.sum(1)) * self.train.router_balance

    def _routed(self, batch: PairBatch) -> Tensor:
        """The rows that each expert has taken part in, shared among those mixed, [F]."""
        weights_QF, _ = self.engine.module.routed
        chosen_QF = (weights_QF.detach() > 0).float()
        rows_QF: Tensor = chosen_QF / chosen_QF.sum(1, keepdim=True) * batch.mask.sum(1, keepdim=True)
        return rows_QF.sum(0)

    def _blank(self) -> Deltas:
        """Deltas, or profiles, of no user."""
        return self.profiles.blank(self.device) if self.profiles else self.heads.blank()

    def _empty_loss(self, engine: Any) -> Tensor:
        """Of no labelled row: 0, and so are its gradients."""
        inputs, batch = self._read(self._empty_batch())
        return loss_sum(engine(inputs, batch, self._blank()).float(), batch.label, batch.mask, self.train.loss)

    def sum(self, values: Tensor) -> Tensor:
        """The sum over workers."""
        return sum_over_workers(values, self.device, self.world)

    def _empty_batch(self) -> PairBatch:
        zero = torch.zeros(1, 1)
        index = torch.zeros(1, dtype=torch.int64)
        return PairBatch(index, index.unsqueeze(1), zero, zero.clone(), index, torch.zeros(1, 1, self.feature_width))

    def _diverged(self, part: Sequence[RankingExample], epoch: int, number: int, loss: float) -> str:
        where = f"{self.name}: the loss is {loss} in epoch {epoch + 1} step {number}"
        if (bad := self._not_finite()) is not None:
            return f"{where}: the embedding of {bad[:60]!r} is not finite; check model.encoder"
        users = ", ".join(sorted({example.user_id for example in part})[:3])
        return f"{where} (users {users}, ...); {self._advice()}"

    def _not_finite(self) -> str | None:
        """The first text whose embedding is not finite."""
        if isinstance(self.inputs, list):
            return None
        tables = self.inputs.chunks() if isinstance(self.inputs, EmbeddingFile) else [self.inputs]
        finite = torch.cat([torch.isfinite(table).flatten(1).all(1).cpu() for table in tables])
        return None if finite.all() else self.share.texts.texts[int((~finite).nonzero()[0])]

    def _advice(self) -> str:
        kept = f"The checkpoint after {self._saved} steps is kept" if self._saved else "It has no checkpoint yet"
        if self.train.precision == "bf16":
            return f"bf16 may have lost or overflowed what fp32 holds: set train.precision=fp32. {kept}"
        return f"lower train.base_lr or train.user_lr. {kept}"

    def log(self, line: str) -> None:
        if self.rank == 0:
            append_line(self.lines, f"{self.name}: {line}")


def parts_of(examples: Sequence[RankingExample], count: int) -> list[list[RankingExample]]:
    """The examples in `count` nearly equal parts, some of them empty."""
    return [list(examples[i::count]) for i in range(count)]


def delta_prior(taken: Deltas, batch: PairBatch) -> Tensor:
    """Squared norms of the users' deltas, each as often as the user has labelled rows in the batch."""
    rows_Q = batch.mask.sum(1)
    total = rows_Q.new_zeros(())
    for value in taken.values():
        total = total + (value.flatten(1).square().sum(1)[batch.user] * rows_Q).sum()
    return total
