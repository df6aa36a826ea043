"""A trained retriever as a folder, and as a retriever of histories.

retriever.json           the encoder it started from, its width, how it was chosen
projection.safetensors   what the frozen encoder's embeddings of queries are multiplied with, or
encoder/                 the trained encoder as a Hugging Face folder, which `model.encoder` may name, too
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hydra_ray.config import ModelConfig
from hydra_ray.core.retrieval import DenseRetriever, Retriever, RetrieverSettings, TextEncode
from hydra_ray.core.types import HistoryItem
from hydra_ray.errors import UserError
from hydra_ray.training.artifacts.unreadable import reading_trained

DESCRIPTION, PROJECTION, ENCODER = "retriever.json", "projection.safetensors", "encoder"
_WEIGHT = "projection.weight"


def save_retriever(folder: Path, model: ModelConfig, weights: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Writes what a training has learned.

    Args:
        folder: Takes it.
        model: The encoder that it started from.
        weights: Trained weights of a `DualEncoder` by name.
        about: What else is kept of the training, as JSON has it.
    """
    from safetensors.torch import save_file

    from hydra_ray.models.dual_encoder import DualEncoder
    from hydra_ray.models.encoder import TextEncoder

    frozen = _WEIGHT in weights
    if frozen:
        width = int(weights[_WEIGHT].shape[1])
        save_file(dict(weights), folder / PROJECTION)
    else:
        encoder = TextEncoder(model)
        DualEncoder(encoder.width, encoder).load_state_dict(dict(weights), strict=False)
        encoder.model.save_pretrained(folder / ENCODER)
        encoder.tokenizer.save_pretrained(folder / ENCODER)
        width = encoder.width
    (folder / DESCRIPTION).write_text(
        json.dumps({"width": width, "frozen": frozen, "model": model.text_embedding, **about}, indent=2)
    )


@dataclass(frozen=True)
class TrainedRetriever:
    """A trained retriever.

    Attributes:
        name: In messages.
        folder: Where it lies.
        width: Numbers of an embedding.
        model: The encoder that it started from.
        projection: float32 [width, width], of queries' embeddings; None: the encoder itself was trained.
    """

    name: str
    folder: Path
    width: int
    model: ModelConfig
    projection: NDArray[np.float32] | None

    @classmethod
    def load(cls, name: str, folder: Path) -> "TrainedRetriever":
        """Reads `save_retriever`'s folder. Raises UserError if it cannot be read."""
        from safetensors.numpy import load_file

        with reading_trained(name, "retriever", folder):
            about = json.loads((folder / DESCRIPTION).read_text())
            weight = load_file(folder / PROJECTION)[_WEIGHT] if about["frozen"] else None
            return cls(name, folder, int(about["width"]), ModelConfig.model_validate(about["model"]), weight)

    def over(self, items: Sequence[HistoryItem], settings: RetrieverSettings) -> Retriever:
        """The index of one user's items. Searching raises UserError where the encoder gives another width."""
        if self.projection is None:
            return DenseRetriever(items, self._own_encoder, "dot", settings.use_date)
        if settings.encode is None:
            raise ValueError("the projection of a frozen encoder needs the encoder")
        return _Projected(items, settings.encode, settings.use_date, self)

    @cached_property
    def _own_encoder(self) -> TextEncode:
        from hydra_ray.models.text_embeddings import text_embeddings

        return text_embeddings(self.model.model_copy(update={"encoder": str(self.folder / ENCODER)}), None)


class _Projected(DenseRetriever):
    """Items by their plain embeddings, queries by projected ones."""

    def __init__(
        self, items: Sequence[HistoryItem], encode: TextEncode, use_date: bool, trained: TrainedRetriever
    ) -> None:
        super().__init__(items, encode, "dot", use_date)
        self._trained = trained

    def _embedded_query(self, query: str) -> NDArray[np.float32]:
        assert self._trained.projection is not None
        embedded = super()._embedded_query(query)
        if len(embedded) != self._trained.width:
            name, wanted = self._trained.name, self._trained.width
            raise UserError(f"{name}: trained on embeddings of {wanted} numbers, the encoder in use gives "
                            f"{len(embedded)}: set model.encoder={self._trained.model.encoder}, or train it "
                            "anew")  # fmt: skip
        projected: NDArray[np.float32] = self._trained.projection @ embedded
        return projected


@lru_cache(maxsize=8)
def trained_retriever(name: str, folder: Path) -> TrainedRetriever:
    """As `TrainedRetriever.load`, once in a process."""
    return TrainedRetriever.load(name, folder)
