"""What the stages of the request path hand to each other. Plain frozen dataclasses: they travel between processes."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from hydra_ray.core.features import AnswerCounts, Supporter
from hydra_ray.core.prompts import Message
from hydra_ray.core.retrieval import normalized_scores
from hydra_ray.core.types import HistoryItem
from hydra_ray.llm.types import Request

SEPARATOR = "\x1f"
"""Between tenant and user in a stored id; neither may hold a control character."""

Component = Literal["reranker", "adapter"]

FitState = Literal["never", "imported", "queued", "running", "done", "failed"]
"""Of a user's heads: `imported` came with the run; `queued` and `running` survive a restart."""


@dataclass(frozen=True, slots=True)
class UserKey:
    """A user of one tenant."""

    tenant: str
    user_id: str

    @property
    def stored(self) -> str:
        """The id under which histories and head stores know the user; its hash gives the bucket."""
        return f"{self.tenant}{SEPARATOR}{self.user_id}"

    @classmethod
    def of_stored(cls, stored: str) -> "UserKey":
        """The inverse of `stored`."""
        tenant, _, user_id = stored.partition(SEPARATOR)
        return cls(tenant, user_id)


@dataclass(frozen=True, slots=True)
class UserState:
    """What is known of a user besides the items.

    items: how many there are. revision: grows with every change of the history, 1 after the first (more for users that
    have the id of a deleted user: no revision of an id comes back). heads: component -> version of the head store that
    holds the user's newest head (or its removal): readers must see it or a later one.
    fit: of the user's heads; fitted_revision: the history they were fitted on (None: none). message: why a fit failed,
    or what it found.
    """

    items: int
    revision: int
    heads: Mapping[Component, int] = field(default_factory=dict)
    fit: FitState = "never"
    fitted_revision: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class RetrievalResult:
    """What was retrieved for one query.

    Attributes:
        items: Best first.
        scores: Of the items, by the retrieval method (BM25).
        answer_counts: How often the user gave each answer (`hydra_ray.core.features.answer_frequencies`).
        state: Of the user; None: there is no user of that id.
        recencies: Of the items, in (0, 1] (`hydra_ray.core.retrieval.recency_ranks`).
        topics: Label -> log-odds ratio that the query's text gives it (`hydra_ray.core.topic_classifier`).
    """

    items: tuple[HistoryItem, ...] = ()
    scores: tuple[float, ...] = ()
    answer_counts: AnswerCounts = field(default_factory=dict)
    state: UserState | None = None
    recencies: tuple[float, ...] = ()
    topics: Mapping[str, float] = field(default_factory=dict)

    @property
    def normalized_scores(self) -> tuple[float, ...]:
        """Of the items: each score as a share of the best one's, in [0, 1]."""
        return tuple(normalized_scores(list(zip(self.items, self.scores, strict=True))))

    def without(self, unseen: Collection[str]) -> "RetrievalResult":
        """What is left when some items, by their ids, are taken out."""
        kept = [i for i, item in enumerate(self.items) if item.item_id not in unseen]
        items, scores = tuple(self.items[i] for i in kept), tuple(self.scores[i] for i in kept)
        return replace(self, items=items, scores=scores, recencies=tuple(self.recencies[i] for i in kept))

    @property
    def supporters(self) -> tuple[Supporter, ...]:
        """The items' answers as votes: each weighs what its item's `normalized_scores` says.

        Not what the reranker believes of the item: it has learned from the very queries that the adapter learns from,
        so there its belief tells the right answer as it never does for a new question.
        """
        scores = self.normalized_scores
        return tuple(Supporter(item.answer, score) for item, score in zip(self.items, scores, strict=True))


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """Texts of one query to be scored with one user's head.

    user: stored id, None for the shared head. version: of the head store that must be seen at least (0: any).
    features: numbers per text (empty: the component reads none).
    """

    component: Component
    user: str | None
    version: int
    query: str
    texts: tuple[str, ...]
    features: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """scores: one per text. own_head: False: the shared head (the user has none). version: of the head store.

    problem: why the user's head could not be read, for the log: it may name files; the shared head was used then.
    """

    scores: tuple[float, ...]
    own_head: bool
    version: int
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class PersonalizeRequest:
    """One question to be answered personally.

    before: chat messages that come before the question. n: answers wanted. temperature, max_tokens: of the sampling
    (None: as the run did). more: further parameters of OpenAI's that the LLM samples with. plain: also the answer
    without personalisation. deadline: `time.time()` after which the answer is not waited for.
    """

    query: str
    before: tuple[Message, ...] = ()
    n: int = 1
    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    plain: bool = False
    deadline: float = float("inf")


class OverloadedError(Exception):
    """There is no room for the request: 429, try again after `retry_after_s`."""

    def __init__(self, retry_after_s: float = 1.0) -> None:
        super().__init__(retry_after_s)
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return "the service is at its limit; try again later"


class LLMDownError(Exception):
    """The black box does not answer: 503, try again after `retry_after_s`."""

    def __init__(self, why: str, retry_after_s: float = 5.0) -> None:
        super().__init__(why, retry_after_s)
        self.why, self.retry_after_s = why, retry_after_s

    def __str__(self) -> str:
        return f"the language model does not answer: {self.why}"


class RefusedError(Exception):
    """The black box refuses this request for good (too long, for instance): 400."""


class PromptTooLongError(RefusedError):
    """The prompt, and every shorter version of it, is too long for the black box: 400."""


class DeadlineError(Exception):
    """The request's deadline has passed: 504."""


class StageDownError(Exception):
    """A part of the service (history server, scorer, fitter) does not answer or failed. Clients may read the words."""


class RetrieverProtocol(Protocol):
    """What finds a user's items for a query. Raises StageDownError, OverloadedError."""

    async def retrieve(self, user: UserKey, query: str, n: int, deadline: float) -> RetrievalResult: ...


class ScorerProtocol(Protocol):
    """The scorer, as the others see it. Raises StageDownError, OverloadedError."""

    async def score(self, scoring: ScoreRequest, deadline: float) -> ScoreResult: ...


class LLMProtocol(Protocol):
    """The LLM, as the others see it. Raises LLMDownError, RefusedError, DeadlineError, OverloadedError."""

    async def sample(
        self, request: Request, *, deadline: float, more: Mapping[str, Any] | None = None
    ) -> "LLMResponse":
        """
        Args:
            request: The prompt, shorter versions of it for an LLM that finds it too long, and how to sample.
            deadline: `time.time()` after which the caller no longer waits.
            more: Further parameters of OpenAI's.
        """


@dataclass(frozen=True, slots=True)
class LLMResponse:
    """texts: as many as were asked for. Tokens as the server counted them. retries: attempts beyond the first.
    cut: places of the texts that `max_tokens` ended. shortened: they answer the shortened prompt of that number (0: the
    prompt itself)."""

    texts: tuple[str, ...]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    retries: int = 0
    cut: frozenset[int] = frozenset()
    shortened: int = 0
