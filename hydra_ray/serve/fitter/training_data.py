"""What one user's heads are learned from, and learning them: the main job's stages for a single user. No waiting."""

from collections.abc import Sequence
from typing import Any

import torch

from hydra_ray.core.topic_classifier import TopicModels
from hydra_ray.core.types import HistoryItem, User
from hydra_ray.inference.scoring import BatchReranker
from hydra_ray.inference.types import Component
from hydra_ray.models.encoder import TextEncoder, frozen_encoder
from hydra_ray.models.heads import Head
from hydra_ray.models.text_embeddings import RememberedEmbeddings
from hydra_ray.pipeline.fit_buckets import mixed_users, solved_users
from hydra_ray.pipeline.fit_records import UserFit
from hydra_ray.pipeline.fit_spec import encode
from hydra_ray.pipeline.ranking_examples import adapter_examples, reranker_examples
from hydra_ray.pipeline.stage_prompts import CandidatePrompts, LabelPrompts
from hydra_ray.pipeline.stage_rows import CandidateRow, LabelRow, PromptedRow
from hydra_ray.serve.bundle import COMPONENTS, RunArtifacts
from hydra_ray.training.artifacts.trained_scorer import (
    HeadProvider,
    TrainedScorer,
    load_scorer,
)
from hydra_ray.training.artifacts.user_heads import UnpublishedHeads
from hydra_ray.training.joint.ranking_examples import RankingExample
from hydra_ray.training.user_fit.features import empty_features, rounded
from hydra_ray.training.user_fit.profiles import profile_of
from hydra_ray.utils.device import CPU


class Bases:
    """A run's frozen bases and encoder, loaded once. For one thread at a time.

    Raises UserError if a base is missing or broken.
    """

    def __init__(self, bundle: RunArtifacts, device: torch.device = CPU) -> None:
        """device: where they are."""
        self.bundle, self.device = bundle, device
        self.plain = bundle.config.model_dump(mode="json")
        model = bundle.config.model
        self.scorers = {
            component: load_scorer(bundle.base[component], model.head, model.encoder).to(device)
            for component in COMPONENTS
        }
        self.topics = TopicModels.load(bundle.topics) if bundle.topics else None
        self._encoder: TextEncoder | None = None

    @property
    def own_shapes(self) -> bool:
        """Whether users have anything of their own at all (not those of `shared`)."""
        return all(scorer.head.delta_shapes() for scorer in self.scorers.values())

    def embeddings(self) -> RememberedEmbeddings | None:
        """A new, empty memory of embeddings around the one encoder, which is loaded when first needed; None where
        embeddings are made inside the scorer."""
        model = self.bundle.config.model
        if model.encoder_in_scorer and not self.bundle.config.retrieval.encodes:
            return None
        if self._encoder is None:
            self._encoder = frozen_encoder(model, self.device)
        return RememberedEmbeddings(model, self._encoder)


class UserTrainingData:
    """One user's. Texts are encoded once and forgotten with this object. Draws go by `user_id`, so that the same user
    with the same items is asked what the main job asks."""

    def __init__(self, bases: Bases, user_id: str, items: Sequence[HistoryItem]) -> None:
        """items: oldest first."""
        self._bases, self._config, self._seed = bases, bases.bundle.config, bases.bundle.seed
        # A test user of the main job, without questions: every item may be learned from.
        self._user = User(user_id, "test", tuple(items))
        self._embeddings = bases.embeddings()

    def label(self) -> list[PromptedRow[LabelRow]]:
        """What the reranker learns from: see LabelPrompts."""
        maker = LabelPrompts(self._bases.plain, self._seed, None, self._embeddings)
        return [prompted for _, prompted in maker([self._user])]

    def generate(self, reranker: UserFit) -> list[PromptedRow[CandidateRow]]:
        """What the adapter learns from, by the user's new reranker: see CandidatePrompts."""
        known = {} if reranker.delta is None else {self._user.user_id: reranker.delta}
        heads = UnpublishedHeads(known, self._bases.scorers["reranker"].head.delta_shapes())
        config = self._bases.bundle.config
        # Where the model's encoder reads pairs, or is trained, single texts have one of their own.
        single = self._embeddings if config.text_encoder == config.model else None
        maker = CandidatePrompts(self._bases.plain, self._seed, None, single)
        maker.topics = self._bases.topics
        return list(maker.of_user(self._user, BatchReranker(self._scorer("reranker", heads))))

    def learn_reranker(self, rows: Sequence[LabelRow]) -> UserFit:
        """The user's head of the reranker on answered rows: see FitBuckets."""
        return self._learn("reranker", reranker_examples(self._config, 0, rows))

    def learn_adapter(self, rows: Sequence[CandidateRow]) -> UserFit:
        """The user's head of the adapter on answered rows: see FitBuckets."""
        return self._learn("adapter", adapter_examples(self._config, 0, rows))

    def _learn(self, component: Component, examples: list[RankingExample]) -> UserFit:
        scorer, head = self._scorer(component), self._bases.scorers[component].head
        assert isinstance(head, Head)
        features = encode(scorer, [examples])[0] if examples else empty_features(self._user.user_id, head.width)
        tuned = self._bases.bundle.tuned[component]
        device = self._bases.device
        return solved_users(head, self._config, tuned, [rounded(features)], component=component, device=device)[0]

    def mix(self, component: Component) -> UserFit:
        """For `mixture`, whose router reads the items alone: see MixBuckets."""
        return mixed_users(self._scorer(component), [profile_of(self._user, 0)])[0]

    def unfitted(self) -> UserFit:
        """No head of the user's own."""
        return UserFit.make(self._user.user_id, "", 0, None)

    def _scorer(self, component: Component, heads: HeadProvider | None = None) -> TrainedScorer:
        return TrainedScorer(self._bases.scorers[component], heads, encode=self._embeddings, device=self._bases.device)


def queries_of(prompted: Sequence[PromptedRow[Any]]) -> int:
    """How many of the rows ask the black box."""
    return sum(bool(one.requests) for one in prompted)
