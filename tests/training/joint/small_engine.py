"""An engine around three numbers, in this process: DeepSpeed's or the plain one."""

from typing import Any

import torch
from torch import Tensor, nn

from hydra_ray.config import TrainConfig
from hydra_ray.training.joint.engine_state import EngineState, start_engine

TRAIN = TrainConfig(base_lr=0.1, gradient_accumulation_steps=2)


def engine(start: EngineState | None, stage: int | None = 1) -> Any:
    """stage: DeepSpeed's; None: without it."""
    torch.manual_seed(0)
    train = TRAIN.model_copy(update={"zero_stage": stage})
    return start_engine(nn.Linear(2, 1), train, torch.device("cpu"), start, lambda made: 0 * loss_of(made, 0.0))


def loss_of(made: Any, x: float) -> Tensor:
    loss: Tensor = (made(torch.tensor([[x, 1.0]])) - 3).square().sum()
    return loss


def step(made: Any, x: float) -> None:
    for _ in range(TRAIN.gradient_accumulation_steps):
        made.backward(loss_of(made, x))
        made.step()
