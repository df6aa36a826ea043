"""Training without DeepSpeed: every worker holds the whole base, and a step is one all-reduce.

A base whose encoder is frozen has some ten thousand trained numbers. There is nothing to shard, and a step takes a few
milliseconds, of which DeepSpeed's bookkeeping and its three collectives would be most. A single worker has nobody to
share a large base with; ZeRO would keep copies of its weights and gradients.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import ReduceOp

MAX_NORM = 1.0
"""Gradients, all parameters' together, are scaled down to this L2 norm, by every engine."""
EPSILON = 1e-6


class ReplicatedEngine:
    """Takes the place of a DeepSpeedEngine: `backward` once a micro-batch, `step` after it.

    Gradients lie in one float32 buffer of which each parameter's `grad` is a view.
    """

    def __init__(self, module: nn.Module, optimizer: torch.optim.Optimizer, accumulation: int) -> None:
        """Args:
        module: On its device. Every worker's has the same weights.
        optimizer: Of the module's trained parameters.
        accumulation: Micro-batches of an optimiser step.
        """
        self.module, self.optimizer = module, optimizer
        self._accumulation, self._taken = accumulation, 0
        self._world = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
        self._reducing: torch.distributed.Work | None = None
        trained = [p for p in module.parameters() if p.requires_grad]
        self._gradients = torch.zeros(sum(p.numel() for p in trained), device=trained[0].device)
        start = 0
        for parameter in trained:
            parameter.grad = self._gradients[start : start + parameter.numel()].view_as(parameter)
            start += parameter.numel()

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """The module's output."""
        return self.module(*inputs, **named)

    def train(self, mode: bool = True) -> None:
        """Sets the module's mode."""
        self.module.train(mode)

    def eval(self) -> None:
        """The same for evaluation."""
        self.module.eval()

    def backward(self, loss: Tensor) -> None:
        """Adds a micro-batch's gradients; after a step's last one, begins to average them over the workers."""
        (loss / self._accumulation).backward()  # type: ignore[no-untyped-call]
        self._taken += 1
        if self._taken == self._accumulation and self._world > 1:
            self._reducing = torch.distributed.all_reduce(self._gradients, ReduceOp.SUM, async_op=True)

    @torch.no_grad()
    def step(self) -> None:
        """After the last micro-batch of a step: updates the parameters. Before: nothing."""
        if self._taken < self._accumulation:
            return
        if self._reducing is not None:
            self._reducing.wait()
            self._reducing = None
            self._gradients /= self._world
        norm = torch.linalg.vector_norm(self._gradients)
        self._gradients *= (MAX_NORM / (norm + EPSILON)).clamp(max=1.0)
        self.optimizer.step()
        self._gradients.zero_()
        self._taken = 0
