"""What a process's collectives carry: every tensor collective of torch.distributed, counted in bytes by its name.

DeepSpeed and the training loop call them by their names in `torch.distributed`, some of which DeepSpeed keeps when it
is imported: count first, import it then.
"""

from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

SENT: dict[str, Callable[[int], float]] = {
    "all_reduce": lambda world: 2 * (world - 1),
    "all_gather": lambda world: world - 1,
    "all_gather_into_tensor": lambda world: world - 1,
    "reduce_scatter": lambda world: world - 1,
    "reduce_scatter_tensor": lambda world: world - 1,
    "all_to_all_single": lambda world: (world - 1) / world,
    "broadcast": lambda world: world - 1,
    "reduce": lambda world: world - 1,
    "send": lambda world: 1,
    "isend": lambda world: 1,
}
"""How often each byte of the whole tensor crosses a wire between any two of `world` workers, at least (ring algorithms;
Patarasuk and Yuan 2009 for all_reduce)."""


class Collectives:
    """Counts from when it is made. payload: name -> bytes of the whole tensors. calls: name -> how many."""

    def __init__(self) -> None:
        self.payload: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        for module in (torch.distributed, torch.distributed.distributed_c10d):
            for name in SENT:
                if hasattr(module, name):
                    setattr(module, name, self._counted(name, getattr(module, name)))

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def counted(*args: Any, **more: Any) -> Any:
            self.payload[name] += max(map(_bytes, (*args, *more.values())), default=0)
            self.calls[name] += 1
            return call(*args, **more)

        return counted


def wire_bytes(payload: dict[str, int], world: int) -> float:
    """Bytes that all of `world` workers together send to others, from payloads by name."""
    return sum(SENT[name](world) * count for name, count in payload.items())


def _bytes(value: Any) -> int:
    """Of a tensor or of all tensors in a list: of two arguments, the whole is the larger."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    return sum(map(_bytes, value)) if isinstance(value, (list, tuple)) else 0
