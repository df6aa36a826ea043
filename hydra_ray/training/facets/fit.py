"""The training loop of a mixture of facets over frozen embeddings, in one process. Knows neither Ray nor files.

L queries, C candidates of each, H items of the longest history, T texts, D numbers of an embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hydra_ray.config import FacetsConfig
from hydra_ray.core.rewards import ndcg
from hydra_ray.models.facets import FacetModel
from hydra_ray.models.retriever_losses import retriever_loss
from hydra_ray.training.best_epoch import fit_best_epoch


@dataclass(frozen=True, slots=True)
class FacetQuery:
    """A training query, by the places of its texts in the table of embeddings.

    Attributes:
        query: The query's.
        items: The candidates', as retrieval ranks them.
        rewards: Of each candidate, in [0, 1]; NaN where the LLM gave no answer.
        history: Of the user's items, without the one that is asked.
    """

    query: int
    items: tuple[int, ...]
    rewards: tuple[float, ...]
    history: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FacetFit:
    """What a training has come to.

    Attributes:
        ndcg: Mean NDCG of the held-out queries: in the order of retrieval, then after every epoch.
        epoch: After which the weights are kept; 0: retrieval's order.
    """

    ndcg: tuple[float, ...]
    epoch: int


def fit_facets(
    model: FacetModel,
    embedded_TD: Tensor,
    queries: Sequence[FacetQuery],
    held_out: Sequence[FacetQuery],
    config: FacetsConfig,
    seed: int,
) -> FacetFit:
    """Trains a mixture of facets and leaves it with the weights of the epoch that orders the held-out queries best.

    Args:
        model: The model.
        embedded_TD: float32, of every text.
        queries: To learn from, one at least. Their rewards should differ.
        held_out: Those that choose the epoch, of other users.
        config: How.
        seed: Of the order of the queries.
    """
    learned, chosen = _Batches(embedded_TD, queries), _Batches(embedded_TD, held_out)

    def loss_of(places: Tensor) -> Tensor:
        scores_LC, sparse = learned.scores(model, places, config)
        rewards_LC = learned.rewards_LC[places]
        main = retriever_loss(scores_LC, rewards_LC, "kd", teacher=config.teacher_temperature) / len(places)
        loss: Tensor = main + config.sparse_weight * sparse
        return loss

    @torch.no_grad()
    def wrong() -> float:
        scores_LC, _ = chosen.scores(model, torch.arange(len(held_out)), config)
        found = [
            ndcg(one.rewards, scores[: len(one.rewards)])
            for one, scores in zip(held_out, scores_LC.tolist(), strict=True)
        ]
        return 1 - sum(found) / len(found)

    losses, epoch = fit_best_epoch(
        model, torch.arange(len(queries)), loss_of, wrong, config.lr, config.epochs, config.batch_queries, seed
    )
    return FacetFit(tuple(1 - loss for loss in losses), epoch)


class _Batches:
    """Queries of unequal length as rectangles."""

    def __init__(self, embedded_TD: Tensor, queries: Sequence[FacetQuery]) -> None:
        self._embedded_TD = embedded_TD
        self._query_L = torch.tensor([one.query for one in queries])
        self._items_LC = _padded([one.items for one in queries], -1).long()
        self._history_LH = _padded([one.history for one in queries], -1).long()
        self.rewards_LC = _padded([one.rewards for one in queries], float("nan")).float()

    def scores(self, model: FacetModel, places: Tensor, config: FacetsConfig) -> tuple[Tensor, Tensor]:
        """Scores [len(places), C], and the autoencoder's mean loss."""
        history_LH, items_LC = self._history_LH[places], self._items_LC[places]
        weights_LF, error_L, code_L = model.mixture(self._embedded_TD[history_LH.clamp(min=0)], history_LH >= 0)
        query_LD, items_LCD = self._embedded_TD[self._query_L[places]], self._embedded_TD[items_LC.clamp(min=0)]
        return model.scores(query_LD, items_LCD, weights_LF), (error_L + config.sparse_l1 * code_L).mean()


def _padded(rows: Sequence[Sequence[float]], absent: float) -> Tensor:
    """float64 [rows, longest], one column at least."""
    longest = max(1, *map(len, rows)) if rows else 1
    return torch.tensor([[*row, *[absent] * (longest - len(row))] for row in rows], dtype=torch.float64)
