"""A trained retriever as a folder, and as a retriever of histories.

retriever.json           the encoder it started from, its width, how it was chosen
projection.safetensors   what the frozen encoder's embeddings of queries are multiplied with, or
encoder/                 the trained encoder as a Hugging Face folder, which `model.encoder` may name, too
"""

import hashlib
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
from hydra_ray.utils.model_digest import model_digest

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

    @cached_property
    def digest(self) -> str:
        """Of the weights, 16 hex digits: what users' heads on it belong to."""
        if self.projection is None:
            return model_digest(self.folder / ENCODER)
        return hashlib.blake2b(self.projection.tobytes(), digest_size=8).hexdigest()

    def over(
        self, items: Sequence[HistoryItem], settings: RetrieverSettings, head: NDArray[np.float32] | None = None
    ) -> Retriever:
        """The index of one user's items. Searching raises UserError where the encoder gives another width.

        head: the user's own (`hydra_ray.models.retriever_head`), float32 [width].
        """
        return _Learned(items, self.encoder(settings.encode), settings.use_date, self, head)

    def encoder(self, encode: TextEncode | None) -> TextEncode:
        """What embeds items, and queries before `queries`. encode: the encoder that it started from, where frozen."""
        if self.projection is None:
            return self._own_encoder
        if encode is None:
            raise ValueError("the projection of a frozen encoder needs the encoder")
        return encode

    def queries(self, embedded_ND: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the embeddings of N queries become, float32 [N, width]. Raises UserError for those of another width."""
        if embedded_ND.shape[1] != self.width:
            raise UserError(f"{self.name}: trained on embeddings of {self.width} numbers, the encoder in use gives "
                            f"{embedded_ND.shape[1]}: set model.encoder={self.model.encoder}, or train it "
                            "anew")  # fmt: skip
        return embedded_ND if self.projection is None else embedded_ND @ self.projection.T

    @cached_property
    def _own_encoder(self) -> TextEncode:
        from hydra_ray.models.text_embeddings import text_embeddings

        return text_embeddings(self.model.model_copy(update={"encoder": str(self.folder / ENCODER)}), None)


class _Learned(DenseRetriever):
    """Items by their plain embeddings, queries by learned ones, in which a user's own head says what counts more."""

    def __init__(
        self,
        items: Sequence[HistoryItem],
        encode: TextEncode,
        use_date: bool,
        trained: TrainedRetriever,
        head: NDArray[np.float32] | None,
    ) -> None:
        super().__init__(items, encode, "dot", use_date)
        self._trained, self._head = trained, head

    def _embedded_query(self, query: str) -> NDArray[np.float32]:
        learned: NDArray[np.float32] = self._trained.queries(super()._embedded_query(query)[None])[0]
        return learned if self._head is None else learned * (1 + self._head)


@lru_cache(maxsize=8)
def trained_retriever(name: str, folder: Path) -> TrainedRetriever:
    """As `TrainedRetriever.load`, once in a process."""
    return TrainedRetriever.load(name, folder)
