"""What the methods answer, with the adapters scored where `resources.score` says.

Few questions on a CPU are answered in this process, as workers would take longer to start; many, or any on a GPU, by
Ray Data's actors, some buckets at a time.
"""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads

from hydra_ray.config import Config
from hydra_ray.config.resources import ray_options
from hydra_ray.core.tasks import load_task
from hydra_ray.methods.question import Adapter
from hydra_ray.pipeline.answered import Adapters
from hydra_ray.pipeline.evaluation import answer_table, joined
from hydra_ray.pipeline.llm_rows import buckets_of
from hydra_ray.pipeline.ranking_examples import chunks
from hydra_ray.pipeline.run_context import RunContext
from hydra_ray.report import AnswerRow
from hydra_ray.training.artifacts.trained_scorer import TrainedScorer
from hydra_ray.utils.device import free_memory, worker_device
from hydra_ray.utils.ray_data import actor_pool
from hydra_ray.utils.ray_errors import unwrap_user_errors

FEW = 2_000
"""Questions whose answers are chosen in the run's own process (`ResourcesConfig.few_in_driver`)."""


@dataclass(frozen=True, slots=True)
class AnsweredStep:
    """A step that asked the LLM for some methods.

    Attributes:
        folder: The finished step's.
        methods: Those that it asked for.
        trained: What its only method has learned, or None.
    """

    folder: Path
    methods: tuple[str, ...]
    trained: Path | None = None


@dataclass(frozen=True, slots=True)
class Answering:
    """What is answered. Pickles; every path is absolute.

    Attributes:
        config: Of the run.
        seed: Whose training.
        steps: With the answers of the LLM. The first one's questions are answered; the others have those, too.
        adapters: Base and users' heads (None: the shared head for all) of each adapter.
        embeddings: Where a frozen encoder's embeddings are kept.
        refused: (user, question) whose profile summary the LLM refused.
    """

    config: Config
    seed: int
    steps: tuple[AnsweredStep, ...]
    adapters: Mapping[Adapter, tuple[Path, Path | None]]
    embeddings: Path
    refused: frozenset[tuple[str, str]]

    def load(self, num_gpus: float) -> dict[Adapter, TrainedScorer]:
        """The adapters on this worker's device. num_gpus: what it was promised. Raises UserError if it has none."""
        device = worker_device(num_gpus)
        budget = free_memory(device, num_gpus) if num_gpus else None
        return {
            name: TrainedScorer.load(base, heads, self.embeddings, device, budget, self.config.model.encoder)
            for name, (base, heads) in self.adapters.items()
        }

    def rows(self, adapters: Adapters, buckets: Sequence[int]) -> list[AnswerRow]:
        """The questions of these buckets' users with what all methods answer."""
        task = load_task(self.config.data.task)
        tables = [
            answer_table(
                task, self.seed, step.folder, step.methods, adapters, self.config, self.refused, step.trained, buckets
            )
            for step in self.steps
        ]
        found = tables[0]
        for others in tables[1:]:
            found = joined(found, others)
        return found


class AnswerBuckets:
    """Ray Data's callable: lists of buckets in, pickled rows of their questions out."""

    def __init__(self, answering: Answering, num_gpus: float) -> None:
        """num_gpus: what this worker was promised."""
        self._answering, self._num_gpus = answering, num_gpus

    @cached_property
    def _adapters(self) -> dict[Adapter, TrainedScorer]:
        """Loaded at the first buckets: a UserError of a constructor would not reach the driver."""
        return self._answering.load(self._num_gpus)

    def __call__(self, batch: dict[str, Any]) -> pa.Table:
        """batch: `number` of each list, and `buckets`. Returns `number` and `rows`."""
        made = [
            pickle.dumps(self._answering.rows(self._adapters, list(map(int, buckets)))) for buckets in batch["buckets"]
        ]
        return pa.table({"number": np.asarray(batch["number"]), "rows": pa.array(made, pa.large_binary())})


def answer_rows(run: RunContext, answering: Answering) -> list[AnswerRow]:
    """One row per question of the first step, with what all methods answered, in the order of users.

    Raises UserError for what a worker could not use, or where one was promised a GPU and has none.
    """
    wanted, folder = run.config.resources.score, answering.steps[0].folder
    buckets = buckets_of(folder)
    if questions_of(folder) <= FEW and run.config.in_driver(wanted):
        return answering.rows(answering.load(0.0), buckets)
    run.log(f"report: choosing the answers of {questions_of(folder)} questions on the workers of resources.score")
    return run.again_when_lost("report", lambda: _on_workers(run, answering, buckets))


def _on_workers(run: RunContext, answering: Answering, buckets: Sequence[int]) -> list[AnswerRow]:
    import ray

    run.ray()
    wanted = run.config.resources.score
    workers = run.workers(wanted)
    parts = chunks(buckets, 4 * workers[1])
    with unwrap_user_errors():
        done = (
            ray.data.from_items([{"number": number, "buckets": part} for number, part in enumerate(parts)])
            .map_batches(
                AnswerBuckets,
                fn_constructor_args=(answering, wanted.num_gpus),
                batch_size=1,
                compute=actor_pool(workers),
                **ray_options(wanted),
            )
            .take_all()
        )
    found = {int(row["number"]): pickle.loads(row["rows"]) for row in done}
    return [row for number in sorted(found) for row in found[number]]


def questions_of(folder: Path) -> int:
    """How many questions a finished step has."""
    if not any((folder / "queries").glob("*.parquet")):
        return 0
    return int(pads.dataset(folder / "queries", format="parquet").count_rows())
