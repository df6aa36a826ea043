"""The sections `retrieval`, `reranker` and `adapter`: the examples of a prompt, and the choice between its answers."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hydra_ray.config.section import NameOf, Section
from hydra_ray.core.bm25 import BM25Kind, BM25Tokens, BM25Variant
from hydra_ray.core.retrieval import Ranking, RetrieverSettings, Similarity, TextEncode, kinds_read, retriever_kind
from hydra_ray.core.tasks import Task
from hydra_ray.registries import RETRIEVERS


class RetrievalConfig(Section):
    """How the candidates for a query's context are found in the user's history.

    LaMP, OPPU and the released HYDRA use `bm25: okapi` with `tokens: cased`.
    """

    method: Annotated[str, NameOf(RETRIEVERS)] = Field(
        default="bm25",
        description="`bm25` (shared words), `recency` (newest first), `random`, `dense` (nearest embeddings, which "
        "costs encoding every history), `rrf` (the rankings of `fuse` combined) or `ranking` (a file's).",
    )
    bm25: BM25Variant = Field(
        default="plus",
        description="Variant of BM25, also in the report's bm25_k rows: `plus` (BM25+, whose word weights are never "
        "negative) or `okapi` (LaMP's, which reverses the order in short histories).",
    )
    tokens: BM25Tokens = Field(
        default="words",
        description="What BM25 compares: `words` (of every script, without punctuation), `whitespace` (split at "
        "whitespace), both in lower case, or `cased` (split at whitespace, as written).",
    )
    top_n: int = Field(
        default=10,
        ge=1,
        description="History items retrieved per query. Labeling asks the LLM once per retrieved item, so the cost of "
        "training the reranker grows with it.",
    )

    similarity: Similarity = Field(
        default="cosine",
        description="How `dense` compares embeddings: by their `cosine`, or by their `dot` product as Contriever does.",
    )
    use_date: bool = Field(
        default=False,
        description="End what `bm25` and `dense` search of an item with its date, as LaMP's rankings and ROPG do.",
    )
    fuse: tuple[Annotated[str, NameOf(RETRIEVERS)], ...] = Field(
        default=("bm25", "recency", "dense"),
        min_length=1,
        description="The retrievers that `rrf` combines by reciprocal rank fusion.",
    )
    ranking: str | None = Field(
        default=None,
        description="File with the ranking that `ranking` retrieves by, as `hydra-ray rank` and LaMP write it: "
        "question id to the ids of all items of its history, best first, or a merged list. Every node must see it. "
        "Other queries than the data's questions are searched by BM25.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "RetrievalConfig":
        nested = [name for name in self.fuse if retriever_kind(name).fuses]
        if nested:
            raise ValueError(f"fuse: {nested[0]} fuses others itself; name the retrievers that it fuses")
        if len(set(self.fuse)) < len(self.fuse):
            raise ValueError("fuse: names a retriever twice; name each once")
        if self.reads_ranking() and self.ranking is None:
            raise ValueError(f"ranking: needed for method={self.method}; give the file with the ranking")
        return self

    @property
    def bm25_kind(self) -> BM25Kind:
        """Variant and tokens together."""
        return BM25Kind(self.bm25, self.tokens)

    @property
    def encodes(self) -> bool:
        """Whether retrieval needs an encoder."""
        return self.encodes_for(self.method)

    def encodes_for(self, method: str) -> bool:
        """Whether a retriever needs an encoder, by itself or for one that it fuses."""
        return any(kind.encodes for kind in kinds_read(method, self.fuse))

    def reads_ranking(self, method: str | None = None) -> bool:
        """Whether a retriever (default: `method`) reads the file `ranking`."""
        return any(kind.reads_ranking for kind in kinds_read(method or self.method, self.fuse))

    def settings(
        self, seed: int = 0, encode: TextEncode | None = None, ranking: Callable[[], Ranking] | None = None
    ) -> RetrieverSettings:
        """What retrievers are made with. ranking: loads the file."""
        return RetrieverSettings(seed, encode, self.bm25_kind, self.similarity, self.use_date, self.fuse, ranking)

    def identity(self, methods: Sequence[str]) -> dict[str, Any]:
        """What decides the outcome, for the addresses of steps: not where the ranking lies, and nothing of keys that
        stand at their defaults and that most runs do not use, or that none of the retrievers reads.

        methods: The retrievers that a step uses.
        """
        dumped = self.model_dump(mode="json", exclude={"ranking"})
        read = {
            "similarity": any(map(self.encodes_for, methods)),
            "fuse": any(retriever_kind(method).fuses for method in methods),
            "use_date": True,
        }
        for name, used in read.items():
            if not used or getattr(self, name) == type(self).model_fields[name].default:
                del dumped[name]
        return dumped


ItemFeatures = Literal["none", "score", "score_and_recency"]


class RerankerConfig(Section):
    """The model that picks a prompt's examples among the retrieved history items."""

    top_k: int = Field(default=4, ge=1, description="Examples kept for the prompt, `retrieval.top_n` at most.")
    label: Literal["query", "user"] = Field(
        default="query",
        description="For generation: an example is positive if its score beats the mean of the `query`'s or of the "
        "`user`'s examples.",
    )
    num_history_queries: int = Field(
        default=0,
        ge=0,
        description="History items per user whose agreement with the user's other items is learned in addition to the "
        "LLM's feedback. Costs no call. 0: the HYDRA paper.",
    )
    features: ItemFeatures = Field(
        default="none",
        description="What the reranker reads of an item in addition to its text: `none` (the HYDRA paper); `score`, "
        "its retrieval score as a share of the best item's, which helps where shared words do; `score_and_recency`, "
        "its rank in time among the retrievable items, too.",
    )


class AdapterConfig(Section):
    """The model that picks the answer among the LLM's samples and the user's own past answers."""

    num_samples: int = Field(default=8, ge=1, description="Answers sampled from the LLM per query; each is paid for.")
    temperature: float = Field(
        default=1.0, ge=0, description="Sampling temperature; lower where the samples are worse than the greedy answer."
    )
    label: Literal["gold", "relative"] = Field(
        default="relative",
        description="For generation: `gold` (the gold text alone is positive) or `relative` (samples above the query's "
        "mean are).",
    )
    examples: Literal["reranker", "retrieval"] = Field(
        default="reranker",
        description="Which examples the prompts show that the adapter learns from: the `reranker`'s (the HYDRA paper), "
        "or the first of `retrieval`, which no training changes, so that all folds and seeds share the LLM's answers. "
        "Prompts of evaluated questions always show the reranker's.",
    )
    num_history_queries: int = Field(
        default=0,
        ge=0,
        description="History items per user whose own answer is learned against the other labels. Costs no call. 0: "
        "the HYDRA paper.",
    )
    features: bool = Field(
        default=True,
        description="Read what the user's history and the other samples say for a candidate "
        "(`hydra_ray.core.features`). `false`: the text alone, the HYDRA paper.",
    )
    history_similarity: bool = Field(
        default=False,
        description="One more feature for tasks with labels: how similar the query is to the items that the user gave "
        "this answer to. Needs an encoder wherever histories are read.",
    )
    topic_classifier: bool = Field(
        default=False,
        description="One more feature for tasks with labels: what a classifier of the query's text, trained on the "
        "training users' histories, says of this answer. Needs an encoder wherever histories are read.",
    )
    text_features: bool = Field(
        default=True,
        description="Read the texts of query and candidate. `false`: `features` alone, whose weights a few hundred "
        "training queries are enough to learn.",
    )
    feature_items: int = Field(
        default=64,
        ge=1,
        description="Retrieved history items that the features are computed from: the `retrieval.top_n` for the prompt "
        "and those after them (for generation only the top_n).",
    )
    history_candidates: bool = Field(
        default=True,
        description="The user's own past answers are candidates in addition to the samples (not for generation).",
    )
    zero_shot_candidate: bool = Field(
        default=False,
        description="For generation: the LLM's answer without any example is a candidate, too. Costs one more call per "
        "query.",
    )
    select: Literal["best", "weighted", "probability"] = Field(
        default="weighted",
        description="`best`: the candidate with the highest score (the HYDRA paper). `weighted`: a vote in which every "
        "candidate has its samples and half a sample more, weighted by its probability. `probability`: each "
        "candidate's probability alone, for where the votes are among the features. The latter two take the median for "
        "a task that MAE measures.",
    )

    @model_validator(mode="after")
    def _has_something_to_read(self) -> "AdapterConfig":
        if not self.features and not self.text_features:
            raise ValueError("text_features: must be true without features, or the adapter reads nothing")
        if not self.features and (self.history_similarity or self.topic_classifier):
            raise ValueError("history_similarity, topic_classifier: belong to the features; set features to true")
        return self

    def reads_topics(self, task: Task) -> bool:
        """Whether the task has a topic classifier: free text has no labels to classify into."""
        return self.topic_classifier and task.closed

    @property
    def encodes(self) -> bool:
        """Whether the features need an encoder."""
        return self.history_similarity or self.topic_classifier

    def as_published(self) -> "AdapterConfig":
        """The adapter of the HYDRA paper on the same samples: it reads texts alone and the highest score wins."""
        off = ("features", "history_similarity", "topic_classifier", "history_candidates", "zero_shot_candidate")
        paper = {**dict.fromkeys(off, False), "text_features": True, "num_history_queries": 0, "select": "best"}
        return self.model_copy(update=paper)

    def items_retrieved(self, shown: int) -> int:
        """Retrieved history items that the features read, where `shown` may be shown to the LLM."""
        return max(shown, self.feature_items) if self.features else shown
