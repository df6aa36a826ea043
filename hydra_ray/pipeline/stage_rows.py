"""The rows of the stages that ask the black box: one frozen type a stage, each with its columns in Arrow.

Every row is a query (`hydra_ray.core.labeling.Row`) with what its stage keeps of it until the answers are there. Knows
neither Ray nor files.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Generic, Self, TypeVar

import pyarrow as pa

from hydra_ray.core.features import AnswerCounts, AnswerFrequency, Supporter
from hydra_ray.core.labeling import Row
from hydra_ray.core.prompts import Prompt
from hydra_ray.core.types import User
from hydra_ray.llm.request_columns import REQUESTS_TYPE, requests_to_structs
from hydra_ray.llm.types import Request

Columns = tuple[tuple[str, pa.DataType], ...]

COUNTS_TYPE = pa.list_(
    pa.struct([("answer", pa.string()), ("times", pa.int64()), ("recent", pa.float64()), ("alike", pa.float64())])
)
TOPICS_TYPE = pa.list_(pa.struct([("label", pa.string()), ("log_ratio", pa.float64())]))
SUPPORTERS_TYPE = pa.list_(pa.struct([("answer", pa.string()), ("weight", pa.float64())]))


@dataclass(frozen=True, slots=True)
class Cuts:
    """How often something was cut from prompts to fit the LLM's window."""

    dropped_examples: int = 0
    clipped_texts: int = 0
    question_cut: int = 0

    @classmethod
    def of(cls, prompts: Sequence[Prompt]) -> "Cuts":
        """Of these prompts together."""
        return cls(
            sum(prompt.dropped_examples for prompt in prompts),
            sum(prompt.clipped_texts for prompt in prompts),
            sum(prompt.question_cut for prompt in prompts),
        )


CUTS = tuple(field.name for field in fields(Cuts))
"""A column each."""


@dataclass(frozen=True, slots=True)
class StageRow:
    """A row that keeps nothing but its query: of `summarise`, `summarise-users` and `oracles`."""

    COLUMNS: ClassVar[Columns] = ()
    query: Row

    def columns(self) -> dict[str, Any]:
        """The values of COLUMNS."""
        return {}

    @classmethod
    def of(cls, query: Row, columns: Mapping[str, Any]) -> Self:
        """The inverse of `columns`."""
        return cls(query)

    def answered(self, answers: Sequence[tuple[str, ...]]) -> Self:
        """With the texts that came back for each request."""
        return replace(self, query=replace(self.query, answers=tuple(answers)))


R = TypeVar("R", bound=StageRow)


@dataclass(frozen=True, slots=True)
class LabelRow(StageRow):
    """What the reranker learns from: the texts to score are items, each with the numbers that retrieval gave it.

    Attributes:
        normalized_scores: Of the items, in [0, 1].
        recencies: Of the items, in (0, 1]; 0 for an item that retrieval does not reach.
    """

    COLUMNS: ClassVar[Columns] = (
        ("normalized_scores", pa.list_(pa.float64())),
        ("recencies", pa.list_(pa.float64())),
    )
    normalized_scores: tuple[float, ...]
    recencies: tuple[float, ...]

    def columns(self) -> dict[str, Any]:
        """See StageRow."""
        return {"normalized_scores": self.normalized_scores, "recencies": self.recencies}

    @classmethod
    def of(cls, query: Row, columns: Mapping[str, Any]) -> Self:
        """See StageRow."""
        return cls(query, tuple(columns["normalized_scores"]), tuple(columns["recencies"]))


@dataclass(frozen=True, slots=True)
class CandidateRow(StageRow):
    """What the adapter learns from.

    Attributes:
        answer_counts: How often the user gave each answer.
        topics: Label -> log-odds ratio that the query's text gives it.
        supporters: The retrieved items' answers with their weights (`RetrievalResult.supporters`).
    """

    COLUMNS: ClassVar[Columns] = (
        ("answer_counts", COUNTS_TYPE),
        ("topics", TOPICS_TYPE),
        ("supporters", SUPPORTERS_TYPE),
    )
    answer_counts: AnswerCounts
    topics: Mapping[str, float]
    supporters: tuple[Supporter, ...]

    def columns(self) -> dict[str, Any]:
        """See StageRow."""
        supporters = _supporters_to_structs(self.supporters)
        return {
            "answer_counts": _counts_to_structs(self.answer_counts),
            "topics": _topics_to_structs(self.topics),
            "supporters": supporters,
        }

    @classmethod
    def of(cls, query: Row, columns: Mapping[str, Any]) -> Self:
        """See StageRow."""
        supporters = _supporters_from_structs(columns["supporters"])
        return cls(
            query, _counts_from_structs(columns["answer_counts"]), _topics_from_structs(columns["topics"]), supporters
        )


@dataclass(frozen=True, slots=True)
class EvalRow(StageRow):
    """An evaluated question, with the calls of the methods.

    Attributes:
        methods: Names of the calls (`hydra_ray.methods.method.Method`), one a request.
        scored: Whether there is a gold answer.
        history: The user's answers, oldest first.
        answer_counts: How often the user gave each answer, normalised.
        topics: Label -> log-odds ratio that the query's text gives it.
        supporters: As of a CandidateRow.
    """

    COLUMNS: ClassVar[Columns] = (
        ("methods", pa.list_(pa.string())),
        ("scored", pa.bool_()),
        ("history", pa.list_(pa.string())),
        ("answer_counts", COUNTS_TYPE),
        ("topics", TOPICS_TYPE),
        ("supporters", SUPPORTERS_TYPE),
    )
    methods: tuple[str, ...]
    scored: bool
    history: tuple[str, ...]
    answer_counts: AnswerCounts
    topics: Mapping[str, float]
    supporters: tuple[Supporter, ...]

    @property
    def by_method(self) -> dict[str, tuple[str, ...]]:
        """Method -> the texts that came back for its request."""
        return dict(zip(self.methods, self.query.answers, strict=True))

    def columns(self) -> dict[str, Any]:
        """See StageRow."""
        return {
            "methods": self.methods,
            "scored": self.scored,
            "history": self.history,
            "answer_counts": _counts_to_structs(self.answer_counts),
            "topics": _topics_to_structs(self.topics),
            "supporters": _supporters_to_structs(self.supporters),
        }

    @classmethod
    def of(cls, query: Row, columns: Mapping[str, Any]) -> Self:
        """See StageRow."""
        return cls(
            query,
            tuple(columns["methods"]),
            columns["scored"],
            tuple(columns["history"]),
            _counts_from_structs(columns["answer_counts"]),
            _topics_from_structs(columns["topics"]),
            _supporters_from_structs(columns["supporters"]),
        )


@dataclass(frozen=True, slots=True)
class PromptedRow(Generic[R]):
    """A row, what its stage asks the black box for it, and what was cut from those prompts."""

    row: R
    requests: tuple[Request, ...] = ()
    cuts: Cuts = field(default_factory=Cuts)


QUERY_COLUMNS: Columns = (
    ("row_id", pa.string()),
    ("user_id", pa.string()),
    ("bucket", pa.int32()),
    ("split", pa.string()),
    ("query_id", pa.string()),
    ("text", pa.string()),
    ("gold", pa.string()),
    ("candidates", pa.list_(pa.string())),
    ("known", pa.list_(pa.float32())),
)
"""What every stage's row has. row_id: of a query among all users; split: the role in which the row was made."""

ASKED_COLUMNS: Columns = (
    ("requests", REQUESTS_TYPE),
    ("n_requests", pa.int32()),
    *((name, pa.int32()) for name in CUTS),
)
"""What is asked, and what was cut; read by no later stage."""


def schema_of(kind: type[StageRow]) -> pa.Schema:
    """The Parquet schema of a stage's rows."""
    return pa.schema([*QUERY_COLUMNS, *ASKED_COLUMNS, *kind.COLUMNS])


def rows_to_table(
    kind: type[R], prompted: Iterable[tuple[User, PromptedRow[R]]], buckets: Mapping[str, int]
) -> pa.Table:
    """Rows with their users, in `schema_of(kind)`. buckets: of the users' ids."""
    rows = [_to_dict(user, buckets[user.user_id], one) for user, one in prompted]
    return pa.Table.from_pylist(rows, schema=schema_of(kind))


def _to_dict(user: User, bucket: int, prompted: PromptedRow[R]) -> dict[str, Any]:
    query = prompted.row.query
    return {
        "row_id": f"{query.user_id}\x1f{query.query_id}",
        "user_id": query.user_id,
        "bucket": bucket,
        "split": user.split,
        "query_id": query.query_id,
        "text": query.text,
        "gold": query.gold,
        "candidates": query.candidates,
        "known": query.known,
        "requests": requests_to_structs(prompted.requests),
        "n_requests": len(prompted.requests),
        **{name: getattr(prompted.cuts, name) for name in CUTS},
        **prompted.row.columns(),
    }


def row_from_dict(kind: type[R], columns: Mapping[str, Any], answers: Sequence[tuple[str, ...]] = ()) -> R:
    """One row of a table in `schema_of(kind)`, where ASKED_COLUMNS may be left out. answers: the texts of each request.

    The inverse of `rows_to_table`.
    """
    query = Row(
        columns["user_id"],
        columns["query_id"],
        columns["text"],
        columns["gold"],
        tuple(columns["candidates"]),
        tuple(columns["known"]),
        tuple(answers),
    )
    return kind.of(query, columns)


def _counts_to_structs(answer_counts: AnswerCounts) -> list[dict[str, Any]]:
    return [{"answer": answer, **record._asdict()} for answer, record in answer_counts.items()]


def _counts_from_structs(structs: Sequence[Mapping[str, Any]]) -> dict[str, AnswerFrequency]:
    return {one["answer"]: AnswerFrequency(one["times"], one["recent"], one["alike"]) for one in structs}


def _topics_to_structs(topics: Mapping[str, float]) -> list[dict[str, Any]]:
    return [{"label": label, "log_ratio": ratio} for label, ratio in topics.items()]


def _topics_from_structs(structs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {one["label"]: one["log_ratio"] for one in structs}


def _supporters_to_structs(supporters: Sequence[Supporter]) -> list[dict[str, Any]]:
    return [supporter._asdict() for supporter in supporters]


def _supporters_from_structs(structs: Sequence[Mapping[str, Any]]) -> tuple[Supporter, ...]:
    return tuple(Supporter(one["answer"], one["weight"]) for one in structs)
