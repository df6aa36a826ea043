"""BM25 that forgets: an item counts half as much as one that is HALF_LIFE items newer."""

import numpy as np
from numpy.typing import NDArray

from hydra_ray.core.retrieval import BM25Retriever, RetrieverKind
from hydra_ray.registries import RETRIEVERS

HALF_LIFE = 20


class FadingBM25(BM25Retriever):
    """One user's history, `self.items`, oldest first; made once for all of the user's queries."""

    def scores(self, query: str) -> NDArray[np.float64]:
        """How well each item fits the query, float64 [items]."""
        age = np.arange(len(self.items))[::-1]
        faded: NDArray[np.float64] = super().scores(query) * 0.5 ** (age / HALF_LIFE)
        return faded


RETRIEVERS.register("fading_bm25")(RetrieverKind(lambda items, settings: FadingBM25(items, settings.bm25)))
