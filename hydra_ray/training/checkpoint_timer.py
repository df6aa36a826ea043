"""When a training's next checkpoint is due: `train.checkpoint_interval_s` after the last, by rank 0's clock."""

import time

import torch

from hydra_ray.training.joint.engine import agree


class CheckpointTimer:
    """Of one rank. Every rank must have one, and ask it at the same places: what it says is the same on all."""

    def __init__(self, interval_s: float, device: torch.device, world: int) -> None:
        """Begins to count. interval_s: seconds from one checkpoint to the next. world: how many workers."""
        self._interval_s, self._device, self._world = interval_s, device, world
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether the interval is over."""
        return agree(time.monotonic() - self._last >= self._interval_s, self._device, self._world)

    def restart(self) -> None:
        """Counts from now on: a checkpoint was made."""
        self._last = time.monotonic()
