"""What a DeepSpeed engine has learned, whole: saved in a checkpoint's folder, and taken up by an engine of any size.

weights.safetensors    trainable weights, float32
optimizer.safetensors  AdamW's moments of them and its step count
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hydra_ray.config import TrainConfig
from hydra_ray.errors import UserError
from hydra_ray.training.joint import zero_state
from hydra_ray.training.joint.engine import make_engine, scaled_lr

WEIGHTS, OPTIMIZER = "weights.safetensors", "optimizer.safetensors"


@dataclass(frozen=True, slots=True)
class EngineState:
    """Of one moment in training, the same whatever ZeRO stage and number of workers it came from.

    Attributes:
        weights: Trainable parameters by name, float32 on the CPU.
        optimizer: AdamW's state as `zero_state.optimizer_state` names it.
    """

    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]

    @classmethod
    def of(cls, engine: Any, weights: Mapping[str, Tensor] | None = None) -> "EngineState":
        """An engine's, after its first step: on rank 0, valid until its next step; empty on others. Every rank must
        call it (ZeRO gathers).

        weights: The engine's, where they have just been gathered; else it gathers them.
        """
        return cls(zero_state.weights(engine) if weights is None else weights, zero_state.optimizer_state(engine))

    @classmethod
    def load(cls, folder: Path) -> "EngineState":
        """What `save` wrote. Raises UserError if a file is missing or broken."""
        try:
            return cls(load_file(folder / WEIGHTS), load_file(folder / OPTIMIZER))
        except (OSError, SafetensorError) as error:
            raise UserError(f"{folder}: the checkpoint cannot be read ({error}); remove it to start over") from None

    def save(self, folder: Path) -> None:
        """Writes both files; rank 0 alone."""
        save_file(dict(self.weights), folder / WEIGHTS)
        save_file(dict(self.optimizer), folder / OPTIMIZER)

    def finite(self) -> bool:
        """Whether all numbers are."""
        return all(bool(value.isfinite().all()) for value in (*self.weights.values(), *self.optimizer.values()))


def start_engine(
    module: nn.Module,
    train: TrainConfig,
    device: torch.device,
    start: EngineState | None,
    empty_loss: Callable[[Any], Tensor],
) -> Any:
    """A DeepSpeed engine around a module, or around what an earlier one had learned.

    Args:
        module: As every rank makes it.
        train: Rates, ZeRO stage and precision.
        device: Of this worker.
        start: What to go on from; None: the module's own weights and no moments.
        empty_loss: Takes the engine; a loss of no example, whose gradients are zero.
    """
    if start is not None:
        module.load_state_dict(dict(start.weights), strict=False)
    engine = make_engine(module, train, device)
    if start is not None:
        # A step that changes nothing: the optimiser's state exists only after one.
        with scaled_lr(engine, 0.0):
            for _ in range(train.gradient_accumulation_steps):
                engine.backward(empty_loss(engine))
                engine.step()
        zero_state.load_optimizer_state(engine, start.weights, start.optimizer)
    return engine
