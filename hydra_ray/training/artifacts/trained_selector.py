"""A trained selector of retrievers as a folder.

selector.json           the pool in its order, the encoder, what is read, how it was trained
selector.safetensors    the linear layer and the numbers of the retrievers
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hydra_ray.config import ModelConfig
from hydra_ray.core.retriever_pool import agreement
from hydra_ray.core.tasks import Task
from hydra_ray.models.encoder import TextEncoder, frozen_encoder
from hydra_ray.models.retriever_selector import RetrieverSelector, chosen, relative_embeddings
from hydra_ray.training.artifacts.unreadable import reading_trained

DESCRIPTION, WEIGHTS = "selector.json", "selector.safetensors"


def selector_inputs(embedded_QRD: Tensor, scale: float, agreement_QR: Tensor | None) -> Tensor:
    """What the linear layer reads, float32 [Q, R, D], with the agreement of answers D + 1 numbers.

    Args:
        embedded_QRD: As `relative_embeddings` makes them.
        scale: What they are divided by.
        agreement_QR: How far the pool's other answers agree with each; None where it is not read.
    """
    scaled_QRD = embedded_QRD / scale
    if agreement_QR is None:
        return scaled_QRD
    # As long as an embedding, whose numbers are about 1: Adam moves every weight by as much.
    length = scaled_QRD.shape[-1] ** 0.5
    return torch.cat([scaled_QRD, length * agreement_QR.unsqueeze(-1)], -1)


def save_selector(folder: Path, model: ModelConfig, selector: RetrieverSelector, about: Mapping[str, Any]) -> None:
    """Writes a trained selector.

    Args:
        folder: Takes it.
        model: Its encoder.
        selector: Without an encoder of its own.
        about: `scale` and `agreement`, and what else is kept of the training, as JSON has it.
    """
    weights = {name: value for name, value in selector.state_dict().items() if isinstance(value, Tensor)}
    save_file(weights, folder / WEIGHTS)
    described = {"pool": selector.pool, "width": selector.output.in_features, "model": model.text_embedding, **about}
    (folder / DESCRIPTION).write_text(json.dumps(described, indent=2))


@dataclass(frozen=True)
class TrainedSelector:
    """A trained selector.

    Attributes:
        selector: The model, whose pool has the retrievers' order.
        model: Its encoder.
        scale: What embeddings are divided by.
        agreement: Whether it reads how far answers agree.
    """

    selector: RetrieverSelector
    model: ModelConfig
    scale: float
    agreement: bool

    @classmethod
    def load(cls, folder: Path, encoder: str) -> "TrainedSelector":
        """Reads `save_selector`'s folder. encoder: where it lies now. Raises UserError if the folder cannot be read."""
        with reading_trained("RSPG", "selector", folder):
            about = json.loads((folder / DESCRIPTION).read_text())
            selector = RetrieverSelector(about["pool"], about["width"])
            selector.load_state_dict({**load_file(folder / WEIGHTS), "_extra_state": {"pool": about["pool"]}})
            model = ModelConfig.model_validate({**about["model"], "encoder": encoder})
            return cls(selector, model, about["scale"], about["agreement"])

    @torch.no_grad()
    def place(self, task: Task, prompts: Sequence[str], answers: Sequence[str | None] | None = None) -> int | None:
        """The place of the chosen retriever in the pool for one question; None where no answer came back.

        Args:
            task: What is asked.
            prompts: One a retriever.
            answers: To them, for a selector that reads answers.
        """
        available_R, alike_R = torch.ones(len(prompts), dtype=torch.bool), None
        if answers is not None:
            available_R = torch.tensor([answer is not None for answer in answers])
            alike_R = torch.tensor(agreement(task, answers)) if self.agreement else None
        if not available_R.any():
            return None
        texts = None if answers is None else [answer or "" for answer in answers]
        embedded_1RD = relative_embeddings(self._encoder, len(prompts), prompts, texts)
        inputs_1RX = selector_inputs(embedded_1RD, self.scale, None if alike_R is None else alike_R.unsqueeze(0))
        return int(chosen(self.selector(inputs_1RX.flatten(0, 1)), available_R.unsqueeze(0))[0])

    @cached_property
    def _encoder(self) -> TextEncoder:
        return frozen_encoder(self.model)


@lru_cache(maxsize=8)
def trained_selector(folder: Path, encoder: str) -> TrainedSelector:
    """As `TrainedSelector.load`, once in a process."""
    return TrainedSelector.load(folder, encoder)
