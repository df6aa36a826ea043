"""What a pipeline in this process is made of: a run's bases, encoder, users and heads, loaded when first used."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from hydra_ray.core.retrieval import TextEncode
from hydra_ray.core.types import HistoryItem, User
from hydra_ray.data.reader import read_users
from hydra_ray.errors import UserError
from hydra_ray.inference.history_index import HistoryIndex
from hydra_ray.inference.pipeline import InferencePipeline
from hydra_ray.inference.prompt_builder import PromptBuilder
from hydra_ray.inference.scoring import score_requests
from hydra_ray.inference.types import (
    Component,
    LLMProtocol,
    RetrievalResult,
    ScoreRequest,
    ScoreResult,
    UserKey,
    UserState,
)
from hydra_ray.models.text_embeddings import RememberedEmbeddings
from hydra_ray.serve.bundle import COMPONENTS, RunArtifacts
from hydra_ray.serve.fitter.training_data import Bases
from hydra_ray.serve.fitter.user_fitter import UserFitter
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.training.artifacts.trained_scorer import TrainedScorer, fingerprint
from hydra_ray.training.artifacts.user_heads import FOLDER, Delta, UnpublishedHeads


class LoadedRun:
    """Of one run. For one thread at a time."""

    def __init__(self, bundle: RunArtifacts) -> None:
        """Raises UserError if a base is missing or broken."""
        self._bundle = bundle
        self._bases = Bases(bundle)
        self._embeddings = self._bases.embeddings()
        self.fingerprints: Mapping[Component, str] = {
            component: fingerprint(bundle.base[component]) for component in COMPONENTS
        }
        self._features = {component: scorer.feature_width for component, scorer in self._bases.scorers.items()}
        self._builder = PromptBuilder(bundle.config, bundle.seed)
        self._fitter: UserFitter | None = None

    def history(self, user_id: str) -> list[HistoryItem]:
        """All items that the run has of a user, oldest first. Raises UserError for an unknown user."""
        users: dict[str, User] = {user.split: user for user in read_users(self._bundle.users, user_ids=[user_id])}
        if not users:
            raise UserError(f"user_id: {self._bundle.name} has no user {user_id!r}; give one of its run's users, or "
                            "history= (a saved pipeline has no users)")  # fmt: skip
        return list((users.get("test") or users["train"]).items)

    def deltas(self, user_id: str) -> dict[Component, Delta | None]:
        """The user's own heads in the run."""
        return {component: self._delta(component, user_id) for component in COMPONENTS}

    def _delta(self, component: Component, user_id: str) -> Delta | None:
        for store in self._stores[component]:
            found, arrays = store.get([user_id])
            if found[0]:
                return {name: value[0] for name, value in arrays.items()}
        return None

    @cached_property
    def _stores(self) -> dict[Component, list[HeadStore]]:
        """The head stores of each component, the fitted users' before the training users'."""
        return {
            component: [HeadStore.open(str(folder / FOLDER)) for folder in reversed(self._bundle.heads[component])]
            for component in COMPONENTS
        }

    def inference(
        self, items: Sequence[HistoryItem], deltas: Mapping[Component, Delta | None], llm: LLMProtocol
    ) -> InferencePipeline:
        """Answers questions over these items with these heads."""
        scorers = {component: self._scorer(component, deltas.get(component)) for component in COMPONENTS}
        own = [component for component in COMPONENTS if deltas.get(component) is not None]
        retriever, scorer = OneHistory(self, items), OneUser(scorers, own)
        return InferencePipeline(self._builder, retriever, scorer, llm, self._features, run=self._bundle.name)

    def _scorer(self, component: Component, delta: Delta | None) -> TrainedScorer:
        base = self._bases.scorers[component]
        heads = UnpublishedHeads({OneUser.ID: delta}, base.head.delta_shapes()) if delta is not None else None
        return TrainedScorer(base, heads, encode=self._embeddings)

    def retrieve(self, items: Sequence[HistoryItem], query: str, n: int) -> RetrievalResult:
        """The retrieved items and what they say of each answer."""
        config = self._bundle.config
        task, seed = self._builder.task, self._bundle.seed
        index = HistoryIndex(items, task, config.retrieval, seed, self.encode, config.adapter.history_similarity)
        topics = self._bases.topics.whole if self._bases.topics else None
        return index.retrieve(query, n, topics, UserState(len(items), 0))

    @cached_property
    def encode(self) -> TextEncode | None:
        """Single texts to embeddings; None where nothing reads any."""
        config = self._bundle.config
        if not config.retrieval.encodes and not config.adapter.encodes:
            return None
        return self._embeddings if config.text_encoder == config.model else RememberedEmbeddings(config.text_encoder)

    def fitter(self, llm: LLMProtocol) -> UserFitter:
        """Fits heads with this LLM's answers."""
        if self._fitter is None:
            self._fitter = UserFitter(self._bundle, llm, {}, bases=self._bases)
        return self._fitter


class OneHistory:
    """See `hydra_ray.inference.types.RetrieverProtocol`."""

    def __init__(self, parts: LoadedRun, items: Sequence[HistoryItem]) -> None:
        self._parts, self._items = parts, items

    async def retrieve(self, user: UserKey, query: str, n: int, deadline: float) -> RetrievalResult:
        """From the one history, for any user."""
        del user, deadline
        return self._parts.retrieve(self._items, query, n)


class OneUser:
    """See `hydra_ray.inference.types.ScorerProtocol`."""

    ID = "user"

    def __init__(self, scorers: Mapping[Component, TrainedScorer], own: Sequence[Component]) -> None:
        self._scorers, self._own = scorers, own

    async def score(self, scoring: ScoreRequest, deadline: float) -> ScoreResult:
        """With the one user's heads, for any user."""
        del deadline
        (scores,) = score_requests(self._scorers[scoring.component], [replace(scoring, user=self.ID)])
        return ScoreResult(scores, scoring.component in self._own, 0)
