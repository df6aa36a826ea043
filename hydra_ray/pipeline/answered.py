"""An evaluated question with the LLM's answers, as methods see it, and the trained adapters that they choose by."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hydra_ray.config import AdapterConfig, Config
from hydra_ray.core.answers.parse import parsed_texts
from hydra_ray.core.tasks import Task
from hydra_ray.errors import UserError
from hydra_ray.inference.scoring import score_requests
from hydra_ray.inference.selection import CandidateSet, adapter_features, make_candidates, select
from hydra_ray.inference.types import ScoreRequest
from hydra_ray.methods.hydra import PLAIN
from hydra_ray.methods.question import SAMPLES, Adapter
from hydra_ray.pipeline.eval_prompts import folder_of
from hydra_ray.pipeline.stage_rows import EvalRow
from hydra_ray.training.artifacts.trained_scorer import TrainedScorer

Adapters = Mapping[Adapter, TrainedScorer]


class EvaluatedQuestion:
    """One question of a user (`hydra_ray.methods.method.AnsweredQuestion`).

    Attributes:
        row: The question, with the texts that came back, and what the step kept of it.
        short: Whether a call that was read came back with fewer texts than were asked for.
        read: Names of the calls that were read, in order.
    """

    def __init__(
        self,
        task: Task,
        config: Config,
        row: EvalRow,
        user: "EvaluatedUser | None",
        trained: Path | None = None,
    ) -> None:
        """user: whose adapters choose; None where there are none. trained: what the only method has learned."""
        self._trained = trained
        self.task, self.config, self.row, self._user = task, config, row, user
        self.text, self.answer_counts = row.query.text, row.answer_counts
        self.history: Sequence[str] = row.history
        self._texts: dict[str, tuple[str, ...]] = row.by_method
        self.start()

    def start(self) -> None:
        """A method begins to answer: nothing is read yet."""
        self.short = False
        self.read: dict[str, None] = {}

    @property
    def trained(self) -> Path:
        """See `AnsweredQuestion`."""
        return folder_of(self._trained)

    def texts(self, call: str) -> Sequence[str]:
        """See `AnsweredQuestion`."""
        if call not in self._texts:
            raise UserError(f"a method reads the call {call!r}, which is none of its step's: {', '.join(self._texts)}")
        texts = self._texts[call]
        self.read[call] = None
        self.short |= len(texts) < (self.config.adapter.num_samples if call.startswith(SAMPLES) else 1)
        return texts

    def prompt(self, call: str) -> str:
        """See `AnsweredQuestion`."""
        if not self.row.query.candidates:
            raise UserError(f"a method reads the prompt of the call {call!r}, but not `reads_prompts`")
        return dict(zip(self.row.methods, self.row.query.candidates, strict=True))[call]

    def candidates(self, samples: str, adapter: Adapter) -> Sequence[str]:
        """See `AnsweredQuestion`."""
        return self.candidate_set(samples, adapter).texts

    def candidate_set(self, samples: str, adapter: Adapter) -> CandidateSet:
        """What an adapter chooses among."""
        config = read_by(adapter, self.config.adapter)
        plain = self.texts(PLAIN) if config.zero_shot_candidate else ()
        return make_candidates(self.task, self.texts(samples), plain, self.answer_counts, config)

    def choose(self, samples: str, adapter: Adapter) -> str | None:
        """See `AnsweredQuestion`; the first sample where there is no candidate."""
        assert self._user is not None, "nothing is chosen without adapters"
        order = self._user.order(self, samples, adapter)
        candidates, raw = self.candidates(samples, adapter), self.texts(samples)
        return candidates[order[0]] if order else raw[0] if raw else None


class EvaluatedUser:
    """All evaluated questions of a user, which each adapter scores in one batch."""

    def __init__(
        self,
        task: Task,
        config: Config,
        user_id: str,
        rows: Sequence[EvalRow],
        adapters: Adapters,
        trained: Path | None = None,
    ) -> None:
        self._task, self._config, self._user_id, self._adapters = task, config, user_id, adapters
        self.questions = [EvaluatedQuestion(task, config, row, self, trained) for row in rows]
        self._orders: dict[tuple[str, Adapter], dict[str, tuple[int, ...]]] = {}

    def texts(self) -> Iterator[str]:
        """Every text that an adapter may read of the questions: theirs and all candidates'."""
        for question in self.questions:
            yield question.text
            yield from question.answer_counts
            for found in question.row.by_method.values():
                yield from parsed_texts(self._task, found)

    def order(self, question: EvaluatedQuestion, samples: str, adapter: Adapter) -> tuple[int, ...]:
        """The places of a question's candidates, the chosen one first; empty without candidates."""
        if (samples, adapter) not in self._orders:
            self._orders[samples, adapter] = self._choose(samples, adapter)
        return self._orders[samples, adapter][question.row.query.query_id]

    def _choose(self, samples: str, adapter: Adapter) -> dict[str, tuple[int, ...]]:
        scorer, config = self._adapters[adapter], read_by(adapter, self._config.adapter)
        made = [question.candidate_set(samples, adapter) for question in self.questions]
        requests = [
            ScoreRequest("adapter", self._user_id, 0, question.text, candidates.texts,
                         self._features(question, candidates, scorer.scorer.feature_width))
            for question, candidates in zip(self.questions, made, strict=True)
        ]  # fmt: skip
        return {
            question.row.query.query_id: select(self._task, candidates, scores, config).order
            for question, candidates, scores in zip(self.questions, made, score_requests(scorer, requests), strict=True)
        }

    def _features(
        self, question: EvaluatedQuestion, candidates: CandidateSet, width: int
    ) -> tuple[tuple[float, ...], ...]:
        """What the adapter reads of the candidates."""
        row = question.row
        return adapter_features(
            self._task, question.text, candidates, question.answer_counts, row.supporters, row.topics, width
        )


def read_by(adapter: Adapter, config: AdapterConfig) -> AdapterConfig:
    """The configuration of one of a run's adapters."""
    return config.as_published() if adapter == "paper" else config
