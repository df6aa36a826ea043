"""Stages with answers of choice, for tests of what is built on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra_ray.core.features import AnswerFrequency
from hydra_ray.core.types import HistoryItem
from hydra_ray.inference.types import LLMResponse, RetrievalResult, ScoreRequest, ScoreResult, UserKey, UserState
from hydra_ray.llm.types import Request

ITEMS = tuple(
    HistoryItem(f"i{i}", f"text number {i}", f"text number {i}", "maple" if i % 2 else "dune") for i in range(12)
)
ANN = UserKey("default", "ann")


@dataclass
class Retriever:
    """Returns `found`, or raises `error`."""

    found: RetrievalResult = field(default_factory=lambda: known())
    error: Exception | None = None
    requests: list[tuple[UserKey, str, int]] = field(default_factory=list)

    async def retrieve(self, user: UserKey, query: str, n: int, deadline: float) -> RetrievalResult:
        self.requests.append((user, query, n))
        if self.error:
            raise self.error
        return self.found


@dataclass
class Scorer:
    """Later texts score higher (reranker) or lower (adapter); errors by component."""

    errors: dict[str, Exception] = field(default_factory=dict)
    problem: str | None = None
    requests: list[ScoreRequest] = field(default_factory=list)

    async def score(self, scoring: ScoreRequest, deadline: float) -> ScoreResult:
        self.requests.append(scoring)
        if scoring.component in self.errors:
            raise self.errors[scoring.component]
        sign = 1.0 if scoring.component == "reranker" else -1.0
        scores = tuple(sign * i for i in range(len(scoring.texts)))
        own = scoring.user is not None and not self.problem
        return ScoreResult(scores, own, 7, self.problem if scoring.user else None)


@dataclass
class LLM:
    """Returns `texts`, as many as are asked for, over and over; or raises `error`. cut: places of those that
    `max_tokens` ended. too_long: versions of a prompt that are, but for its last."""

    texts: Sequence[str] = ("maple", "dune", "maple")
    error: Exception | None = None
    cut: frozenset[int] = frozenset()
    too_long: int = 0
    requests: list[Request] = field(default_factory=list)
    more: list[Mapping[str, Any] | None] = field(default_factory=list)

    async def sample(self, request: Request, *, deadline: float, more: Mapping[str, Any] | None = None) -> LLMResponse:
        self.requests.append(request)
        self.more.append(more)
        if self.error:
            raise self.error
        n = request.n
        return LLMResponse(tuple(self.texts[i % len(self.texts)] for i in range(n)), 20, 2 * n, cut=self.cut,
                       shortened=min(self.too_long, len(request.fallbacks)))  # fmt: skip


def known(items: Sequence[HistoryItem] = ITEMS) -> RetrievalResult:
    """A user with these records, the first the best."""
    own = {"dune": AnswerFrequency(6, 1.0, 1.0), "maple": AnswerFrequency(6, 1.0, 1.0)} if items else {}
    scores = tuple(float(len(items) - i) for i in range(len(items)))
    state = UserState(len(items), 3, {"reranker": 5, "adapter": 6}, "done", 3)
    return RetrievalResult(tuple(items), scores, own, state, tuple(1 / (i + 1) for i in range(len(items))))
