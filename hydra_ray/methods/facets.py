"""Mixture of facets: examples picked by heads that all users share, mixed by what a router reads in the history (2026).

Nothing is fitted to a user. It learns from the label step's answers, as HYDRA's reranker and ROPG do: training costs no
further call.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hydra_ray.config import Config
from hydra_ray.core.retrieval import Retriever, RetrieverKind, RetrieverSettings
from hydra_ray.core.rewards import rewarded_lists
from hydra_ray.core.types import HistoryItem
from hydra_ray.methods.method import one_answer
from hydra_ray.methods.question import Call, QuestionContext
from hydra_ray.methods.training import MethodTraining
from hydra_ray.models.encoder_source import encoder_settings
from hydra_ray.registries import METHODS


def train(training: MethodTraining) -> None:
    """Trains the facets on the rewards of the label step's answers. Raises UserError if they teach nothing."""
    from hydra_ray.models.text_embeddings import text_embeddings
    from hydra_ray.training.facets.trainer import train_facets

    config = Config.model_validate(training.config)
    users = list(training.users())
    lists = list(rewarded_lists(training.task, users, training.feedback(), config.retrieval.use_date))
    train_facets(
        training.task,
        users,
        lists,
        config.facets,
        config.text_encoder,
        text_embeddings(config.text_encoder, training.embedding_store),
        training.seed,
        training.folder,
        training.log,
    )


def train_reads(config: Config) -> dict[str, Any]:
    """What a training depends on besides the task and the feedback."""
    return {
        "facets": config.facets.model_dump(mode="json"),
        "encoder": encoder_settings(config.text_encoder),
        "use_date": config.retrieval.use_date,
    }


class _Reranked:
    """The retrieved items in the order of the facets; of equal scores the one that was retrieved first."""

    def __init__(
        self,
        found: Sequence[HistoryItem],
        history: Sequence[HistoryItem],
        settings: RetrieverSettings,
        question: QuestionContext,
    ) -> None:
        self._found, self._history, self._settings, self._question = found, history, settings, question

    def top(
        self, query: str, n: int, exclude: str | None = None, question_id: str | None = None
    ) -> list[tuple[HistoryItem, float]]:
        """See `Retriever`. Raises UserError where the encoder gives another width."""
        from hydra_ray.training.artifacts.trained_facets import trained_facets

        del question_id
        items = [item for item in self._found if item.item_id != exclude]
        if not items:
            return []
        assert self._settings.encode is not None, "facets read embeddings"
        facets = trained_facets(self._question.trained)
        scores = facets.scores(query, items, self._history, self._settings.encode, self._settings.use_date)
        return sorted(zip(items, scores, strict=True), key=lambda pair: -pair[1])[:n]


def best(question: QuestionContext, k: int) -> Sequence[HistoryItem]:
    """The k best of the `retrieval.top_n` items that `retrieval.method` finds."""
    retrieval = question.config.retrieval
    found = question.retrieve(retrieval.method, retrieval.top_n)

    def make(history: Sequence[HistoryItem], settings: RetrieverSettings) -> Retriever:
        return _Reranked(found, history, settings, question)

    return question.retrieve(RetrieverKind(make, encodes=True), k)


def _ask(k: int) -> Callable[[QuestionContext], Call]:
    return lambda question: question.greedy(best(question, k))


for k in (1, 4):
    name, about = f"mof_k{k}", f"the {k} best retrieved items by shared heads that the user's history mixes"
    asks = one_answer(
        name, f"mixture of facets, k={k}", about, _ask(k), group="others that train", retrievers=("dense",)
    )
    METHODS.register(name)(replace(asks, train=train, reads_feedback=True, trained_as="mof", train_reads=train_reads))
