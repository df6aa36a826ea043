"""A trained mixture of facets as a folder, and as a reranker of retrieved items.

facets.json            the encoder, the sizes, how the epoch was chosen
facets.safetensors     the weights
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from hydra_ray.config import ModelConfig
from hydra_ray.core.retrieval import TextEncode, searched_text
from hydra_ray.core.types import HistoryItem
from hydra_ray.errors import UserError
from hydra_ray.models.facets import FacetModel, FacetShape
from hydra_ray.training.artifacts.unreadable import reading_trained
from hydra_ray.training.user_fit.profiles import PROFILE_ITEMS, item_text

DESCRIPTION, WEIGHTS = "facets.json", "facets.safetensors"


def save_facets(folder: Path, encoder: ModelConfig, model: FacetModel, about: Mapping[str, Any]) -> None:
    """Writes a trained model. encoder: whose embeddings it reads. about: what else is kept of the training."""
    save_file(model.state_dict(), folder / WEIGHTS)
    described = {"model": encoder.text_embedding, "shape": asdict(model.shape), **about}
    (folder / DESCRIPTION).write_text(json.dumps(described, indent=2))


@dataclass(frozen=True)
class TrainedFacets:
    """A trained mixture of facets.

    Attributes:
        model: The weights.
        encoder: The name of the encoder whose embeddings it reads.
    """

    model: FacetModel
    encoder: str

    @classmethod
    def load(cls, folder: Path) -> "TrainedFacets":
        """Reads `save_facets`' folder. Raises UserError if it cannot be read."""
        with reading_trained("mof", "facets", folder):
            about = json.loads((folder / DESCRIPTION).read_text())
            model = FacetModel(FacetShape(**about["shape"])).eval()
            model.load_state_dict(load_file(folder / WEIGHTS))
            return cls(model, ModelConfig.model_validate(about["model"]).encoder)

    @torch.no_grad()
    def scores(
        self,
        query: str,
        items: Sequence[HistoryItem],
        history: Sequence[HistoryItem],
        encode: TextEncode,
        use_date: bool,
    ) -> list[float]:
        """How much each item helps with a query.

        Args:
            query: What is searched for.
            items: To be ranked, one at least.
            history: Of the user, oldest first; the newest PROFILE_ITEMS are read.
            encode: The frozen encoder.
            use_date: Whether an item's date is part of what is searched.

        Raises:
            UserError: The encoder gives embeddings of another width.
        """
        texts = [query, *(searched_text(item, use_date) for item in items), *map(item_text, history[-PROFILE_ITEMS:])]
        embedded_TD = torch.from_numpy(np.asarray(encode(texts), dtype=np.float32))
        width, wanted = embedded_TD.shape[-1], self.model.shape.width
        if width != wanted:
            raise UserError(f"mof: trained on embeddings of {wanted} numbers, the encoder in use gives {width}: set "
                            f"model.encoder={self.encoder}, or train it anew")  # fmt: skip
        query_1D, items_1CD, history_1HD = (
            embedded_TD[:1],
            embedded_TD[None, 1 : 1 + len(items)],
            embedded_TD[None, 1 + len(items) :],
        )
        present_1H = torch.ones(1, history_1HD.shape[1], dtype=torch.bool)
        weights_1F, _, _ = self.model.mixture(history_1HD, present_1H)
        found: list[float] = self.model.scores(query_1D, items_1CD, weights_1F)[0].tolist()
        return found


@lru_cache(maxsize=8)
def trained_facets(folder: Path) -> TrainedFacets:
    """As `TrainedFacets.load`, once in a process."""
    return TrainedFacets.load(folder)
