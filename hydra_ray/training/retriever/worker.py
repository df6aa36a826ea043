"""One rank of a retriever's training: its share of the lists, its DeepSpeed engine, epochs, and the best one so far.

N texts, D numbers of an embedding, L lists with up to C candidates each.
"""

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from hydra_ray.core.rewards import RewardedList, ndcg
from hydra_ray.errors import UserError
from hydra_ray.models.dual_encoder import DualEncoder, Inputs
from hydra_ray.models.encoder import TextEncoder
from hydra_ray.models.retriever_losses import retriever_loss
from hydra_ray.models.text_embeddings import text_embeddings
from hydra_ray.training.checkpoint_timer import CheckpointTimer
from hydra_ray.training.joint import zero_state
from hydra_ray.training.joint.engine import agree, check_fits, scaled_lr, sum_over_workers
from hydra_ray.training.joint.engine_state import WEIGHTS, EngineState, start_engine
from hydra_ray.training.joint.file_tail import PROGRESS, append_line
from hydra_ray.training.pace import Pace
from hydra_ray.training.ray_loop import Report, ray_worker
from hydra_ray.training.retriever.lists import read_lists
from hydra_ray.training.retriever.progress import Progress, load_progress, save_progress
from hydra_ray.training.retriever.retriever_job import RetrieverJob
from hydra_ray.utils.device import explained_out_of_memory, free_memory, seed_draws, worker_device, workers_of_node
from hydra_ray.utils.plugins import load_modules

WARM_UP = 0.05
"""Share of the steps in which the learning rate rises."""
SUMMARY = "summary.json"


def train_worker(config: dict[str, RetrieverJob]) -> None:
    """The `train_loop_per_worker` of Ray's TorchTrainer, whose config holds the `job`."""
    load_modules(config["job"].plugins)
    with ray_worker(whole=True) as worker:
        RetrieverWorker(config["job"], worker.rank, worker.world).run(worker.start, worker.report)


class RetrieverWorker:
    """One rank. Every rank must make one and run it; the process group must be up if there are several."""

    def __init__(self, job: RetrieverJob, rank: int, world: int) -> None:
        self.job, self.rank, self.world = job, rank, world
        self.device = worker_device(job.resources.num_gpus)
        self.lists = read_lists(job.lists)
        every = (*self.lists.training, *self.lists.held_out)
        self.texts = list(dict.fromkeys(text for one in every for text in (one.query, *one.items)))
        self.place = {text: i for i, text in enumerate(self.texts)}
        self.embedded: Tensor | None = None
        if job.ropg.freeze_encoder:
            embedded = text_embeddings(job.model, job.embedding_store, self.device)(self.texts)
            self.embedded = torch.from_numpy(np.asarray(embedded, dtype=np.float32)).to(self.device)

    def untrained(self) -> DualEncoder:
        """The retriever that training starts from, the same on every rank."""
        torch.manual_seed(self.job.seed)
        if self.embedded is not None:
            return DualEncoder(self.embedded.shape[1]).to(self.device)
        encoder = TextEncoder(self.job.model)
        if self.job.train.activation_checkpointing:
            encoder.model.gradient_checkpointing_enable()
        return DualEncoder(encoder.width, encoder).to(self.device)

    def run(self, start: Path | None, report: Report) -> None:
        """Tries every temperature and leaves the best retriever in `job.result`. start: a checkpoint to go on from."""
        first = self.untrained()
        timer = CheckpointTimer(self.job.train.checkpoint_interval_s, self.device, self.world)
        spread = self._spread(first)
        ndcg_before = self._held_out(first)
        at, best = Progress.begin(ndcg_before), dict[str, Tensor]()
        if start is not None:
            at, best = load_progress(start)
            self._log(f"continuing with trial {at.trial + 1} after epoch {at.epoch}")
        else:
            self._log(f"{len(self.lists.training)} queries, workers {self.world}; NDCG of the untrained retriever on "
                      f"{len(self.lists.held_out)} held-out queries {ndcg_before:.4f}")  # fmt: skip
        for trial in range(at.trial, len(self.job.temperatures)):
            engine = self._engine(start if trial == at.trial and at.epoch else None)
            pace = Pace(self._log, self.job.ropg.epochs)
            for epoch in range(at.epoch if trial == at.trial else 0, self.job.ropg.epochs):
                loss = self._epoch(engine, trial, epoch, spread, pace)
                reached = self._held_out(engine.module)
                at.epochs.append({"trial": trial, "epoch": epoch + 1, "loss": loss, "ndcg": reached})
                better = agree(reached > at.best, self.device, self.world)
                if better:
                    at.best, at.best_trial, at.best_epoch = reached, trial, epoch + 1
                    best = zero_state.weights(engine, copied=True)
                at.trial, at.epoch = trial, epoch + 1
                if timer.due():
                    self._checkpoint(at, EngineState.of(engine, best if better else None), best, report)
                    timer.restart()
            self._log(f"teacher's temperature {self.job.temperatures[trial]:g}: held-out NDCG "
                      f"{at.epochs[-1]['ndcg']:.4f} after {at.epoch} epochs, best so far {at.best:.4f}")  # fmt: skip
        if self.rank == 0:
            self.job.result.mkdir(parents=True, exist_ok=True)
            save_file(best or _trained(first), self.job.result / WEIGHTS)
            (self.job.result / SUMMARY).write_text(json.dumps(asdict(at)))

    def _engine(self, start: Path | None) -> Any:
        """A DeepSpeed engine around the untrained retriever, or around the one of a checkpoint."""
        model, ropg = self.untrained(), self.job.ropg
        train = self.job.train.model_copy(update={"base_lr": ropg.lr, "encoder_lr": ropg.encoder_lr})
        free = free_memory(self.device, self.job.resources.num_gpus, workers_of_node())
        check_fits(model, train, self.device, free, self.job.model.encoder)
        learned = EngineState.load(start) if start else None
        return start_engine(model, train, self.device, learned, lambda engine: self._loss(engine, [], 0, 1.0))

    def _epoch(self, engine: Any, trial: int, epoch: int, spread: float, pace: Pace) -> float:
        """One pass over the training lists; the mean loss of a list."""
        engine.train()
        order = np.random.default_rng((self.job.seed, trial, epoch)).permutation(len(self.lists.training))
        size = self.job.ropg.batch_queries
        batches = [order[i : i + size] for i in range(0, len(order), size)]
        warm = max(1, round(WARM_UP * len(batches) * self.job.ropg.epochs))
        total = 0.0
        for number, batch in enumerate(batches):
            seed_draws(hash((self.job.seed, trial, epoch, number, self.rank)), self.device)
            mine = [self.lists.training[i] for i in batch[self.rank :: self.world]]
            rate = min(1.0, (epoch * len(batches) + number + 1) / warm)
            with explained_out_of_memory(partial(self._no_memory, epoch + 1)):
                total += self._step(engine, mine, trial, spread, self.world / len(batch), rate, epoch + 1)
            pace.step(epoch, number + 1, len(batches))
        return float(sum_over_workers(torch.tensor(total, dtype=torch.float64), self.device, self.world)) / len(order)

    def _step(
        self,
        engine: Any,
        lists: Sequence[RewardedList],
        trial: int,
        spread: float,
        scale: float,
        rate: float,
        epoch: int,
    ) -> float:
        """One optimiser step, in micro-batches; the loss summed over the lists. rate: share of the learning rate."""
        parts, total = self.job.train.gradient_accumulation_steps, 0.0
        with scaled_lr(engine, rate):
            for part in (lists[i::parts] for i in range(parts)):
                loss = self._loss(engine, part, trial, spread)
                total += float(loss.detach())
                if not math.isfinite(total):
                    raise UserError(
                        f"{self.job.name}: the loss is {total} in epoch {epoch}: lower ropg.lr or ropg.encoder_lr"
                    )
                # DeepSpeed averages over workers and micro-batches.
                engine.backward(loss * (scale * parts))
                engine.step()
        return total

    def _no_memory(self, epoch: int) -> str:
        ropg, train = self.job.ropg, self.job.train
        return (
            f"{self.job.name}: out of memory on {self.device} in epoch {epoch}: raise "
            f"train.gradient_accumulation_steps (now {train.gradient_accumulation_steps}), lower ropg.batch_queries "
            f"(now {ropg.batch_queries}) or set train.activation_checkpointing=true"
        )

    def _loss(self, engine: Any, lists: Sequence[RewardedList], trial: int, spread: float) -> Tensor:
        """Summed over the lists; of none, 0."""
        ropg, temperature = self.job.ropg, self.job.temperatures[trial]
        # Where no list is ours, DeepSpeed's collectives still need every rank: a list whose item has no reward.
        some = lists or [RewardedList("", self.texts[0], (self.texts[0],), (math.nan,))]
        scores, rewards = self._scores(engine, some)
        width = ropg.student_temperature or spread
        return retriever_loss(scores, rewards, self.job.goal, ropg.objective, temperature, width)

    def _scores(self, model: Any, lists: Sequence[RewardedList]) -> tuple[Tensor, Tensor]:
        """Scores and rewards, float32 [L, C] each; the rewards are NaN where a list has no such candidate."""
        longest = max(len(one.items) for one in lists)
        needed = dict.fromkeys(text for one in lists for text in (one.query, *one.items))
        local = {text: i for i, text in enumerate(needed)}
        query_L = torch.tensor([local[one.query] for one in lists])
        item_LC = torch.zeros(len(lists), longest, dtype=torch.int64)
        rewards_LC = torch.full((len(lists), longest), math.nan)
        for i, one in enumerate(lists):
            item_LC[i, : len(one.items)] = torch.tensor([local[text] for text in one.items])
            rewards_LC[i, : len(one.items)] = torch.tensor(one.rewards)
        inputs: Inputs
        if self.embedded is not None:
            inputs = self.embedded[torch.tensor([self.place[text] for text in needed], device=self.device)]
        else:
            encoder = getattr(model, "module", model).encoder
            inputs = {name: value.to(self.device) for name, value in encoder.tokens(list(needed)).items()}
        return model(inputs, query_L.to(self.device), item_LC.to(self.device)), rewards_LC.to(self.device)

    @torch.no_grad()
    def _all_scores(self, model: Any, lists: Sequence[RewardedList]) -> list[list[float]]:
        """The scores of each list's candidates."""
        model.eval()
        found: list[list[float]] = []
        at_once = math.ceil(self.job.ropg.batch_queries / self.job.train.gradient_accumulation_steps)
        for start in range(0, len(lists), at_once):
            some = lists[start : start + at_once]
            scores, _ = self._scores(model, some)
            found += [row[: len(one.items)] for row, one in zip(scores.tolist(), some, strict=True)]
        return found

    def _held_out(self, model: Any) -> float:
        """Mean NDCG over the held-out lists; every rank computes it."""
        lists = self.lists.held_out
        return float(
            np.mean([ndcg(one.rewards, s) for one, s in zip(lists, self._all_scores(model, lists), strict=True)])
        )

    def _spread(self, model: DualEncoder) -> float:
        """The standard deviation of scores within a list, pooled over the training lists; 1 where all are equal."""
        squares = [np.var(scores) for scores in self._all_scores(model, self.lists.training)]
        return float(np.sqrt(np.mean(squares))) or 1.0

    def _checkpoint(
        self,
        at: Progress,
        learned: EngineState,
        best: dict[str, Tensor],
        report: Report,
    ) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if self.rank == 0:
                save_progress(folder, at, best)
                learned.save(folder)
            report({"ndcg": at.epochs[-1]["ndcg"], "loss": at.epochs[-1]["loss"]}, folder)

    def _log(self, line: str) -> None:
        if self.rank == 0:
            append_line(self.job.scratch / PROGRESS, f"{self.job.name}: {line}")


def _trained(model: DualEncoder) -> dict[str, Tensor]:
    return {name: p.detach().cpu().clone() for name, p in model.named_parameters() if p.requires_grad}
