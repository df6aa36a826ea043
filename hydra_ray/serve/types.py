"""What the parts of the service say to each other. Plain frozen records: they travel between processes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from hydra_ray.core.evidence import AnswerProfile
from hydra_ray.core.prompts import Message
from hydra_ray.core.records import HistoryItem
from hydra_ray.core.retrieval import recencies

SEPARATOR = "\x1f"
"""Between tenant and user in a stored id; neither may hold a control character."""

Module = Literal["reranker", "adapter"]

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
    """What is known of a user beside the records.

    items: how many there are. revision: grows with every change of the history, 1 after the first (more for whoever has
    the id of a deleted user: no revision of an id comes back). heads: module -> version of the head store that holds
    the user's newest head (or its removal): readers must see it or a later one.
    fit: of the user's heads; fitted_revision: the history they were fitted on (None: none). message: why a fit failed,
    or what it found.
    """

    items: int
    revision: int
    heads: Mapping[Module, int] = field(default_factory=dict)
    fit: FitState = "never"
    fitted_revision: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What the retriever knows for one query.

    items: best first, with `scores` of the retrieval method (BM25). own: the user's own answers
    (`hydra_ray.core.evidence.answer_profile`). state: None: nobody of that id. recencies: of the items
    (`hydra_ray.core.retrieval`). topics: label -> what the query's text says of it (`hydra_ray.core.topics`).
    """

    items: tuple[HistoryItem, ...] = ()
    scores: tuple[float, ...] = ()
    own: AnswerProfile = field(default_factory=dict)
    state: UserState | None = None
    recencies: tuple[float, ...] = ()
    topics: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        top: Sequence[tuple[HistoryItem, float]],
        history: Sequence[HistoryItem],
        own: AnswerProfile,
        state: UserState,
        topics: Mapping[str, float] | None = None,
    ) -> "Found":
        """top: a retriever's answer over the whole `history`, oldest first."""
        items = tuple(item for item, _ in top)
        return cls(items, tuple(score for _, score in top), own, state, tuple(recencies(items, history)), topics or {})


@dataclass(frozen=True, slots=True)
class Scoring:
    """Texts of one query to be scored with one user's head.

    user: stored id, None for the population head. version: of the head store that must be seen at least (0: any).
    evidence: numbers per text (empty: the module reads none).
    """

    module: Module
    user: str | None
    version: int
    query: str
    texts: tuple[str, ...]
    evidence: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Scored:
    """log_odds: one per text. own_head: False: the population head (the user has none). version: of the head store.

    problem: why the user's head could not be read, for the log: it may name files; the population head was used then.
    """

    log_odds: tuple[float, ...]
    own_head: bool
    version: int
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to be answered personally.

    before: chat messages that come before the question. n: answers wanted. temperature, max_tokens: of the sampling
    (None: as the run did). more: further parameters of OpenAI's that the LLM samples with. plain: also the answer
    without personalisation. deadline: `time.time()` after which nobody waits for it.
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
    """The black box refuses this request for good (too long, say): 400."""


class PromptTooLongError(RefusedError):
    """The prompt, and every shorter version of it, is too long for the black box: 400."""


class InvalidError(Exception):
    """A value of the client's that cannot be used: 422. param: the field, as OpenAI writes it."""

    def __init__(self, param: str, why: str) -> None:
        super().__init__(param, why)
        self.param, self.why = param, why

    def __str__(self) -> str:
        return f"{self.param}: {self.why}"


class InvalidRowsError(Exception):
    """Rows of an import that cannot be used: 422. problems: (number of the row, the field, why), all of them."""

    def __init__(self, problems: Sequence[tuple[int, str, str]]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        row, field, why = self.problems[0]
        more = f"; {len(self.problems) - 1} more, see `problems`" if len(self.problems) > 1 else ""
        return f"nothing was imported: row {row}: {field}: {why}{more}"


class DeadlineError(Exception):
    """The request's deadline has passed: 504."""


class StageDownError(Exception):
    """A part of the service (retriever, scorer, fitter) does not answer or failed; in words that clients may read."""


class Retrieves(Protocol):
    """The retriever, as the others see it. Raises StageDownError, OverloadedError."""

    async def retrieve(self, user: UserKey, query: str, n: int, deadline: float) -> Found: ...


class Scores(Protocol):
    """The scorer, as the others see it. Raises StageDownError, OverloadedError."""

    async def score(self, scoring: Scoring, deadline: float) -> Scored: ...


class Samples(Protocol):
    """The black box, as the others see it. Raises LLMDownError, RefusedError, DeadlineError, OverloadedError."""

    async def sample(
        self,
        messages: Sequence[Message],
        *,
        n: int,
        temperature: float,
        max_tokens: int,
        seed: int | None,
        deadline: float,
        fallbacks: Sequence[Sequence[Message]] = (),
        more: Mapping[str, Any] | None = None,
    ) -> "Sampled": ...

    async def forward(
        self, messages: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any], deadline: float
    ) -> tuple[dict[str, Any], int]: ...

    async def forward_stream(
        self,
        messages: Sequence[Mapping[str, Any]],
        parameters: Mapping[str, Any],
        deadline: float,
        take: Callable[[dict[str, Any]], None],
    ) -> int: ...


@dataclass(frozen=True, slots=True)
class Sampled:
    """texts: as many as were asked for. Tokens as the server counted them. retries: attempts beyond the first.
    cut: places of the texts that `max_tokens` ended. shortened: they answer the shortened prompt of that number (0: the
    prompt itself)."""

    texts: tuple[str, ...]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    retries: int = 0
    cut: frozenset[int] = frozenset()
    shortened: int = 0
