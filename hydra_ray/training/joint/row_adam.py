"""Adam on rows of stacked arrays: a fused update of all a step's rows, on whatever device they are.

Shapes: n rows.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hydra_ray.models.heads import Deltas

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""Adam's defaults (Kingma and Ba 2015)."""


@dataclass(frozen=True, slots=True)
class AdamRows:
    """Some users' deltas with what Adam keeps of them; name -> [n, ...] on one device. steps: float32 [n]."""

    deltas: Deltas
    first: Deltas
    second: Deltas
    steps: Tensor

    def parts(self) -> tuple[Deltas, Deltas, Deltas, Deltas]:
        """Everything as named arrays."""
        return self.deltas, self.first, self.second, {"steps": self.steps}


@torch.no_grad()
def adam_rows(rows: AdamRows, gradients: Deltas, lr: float) -> None:
    """One step in place, without a copy to the CPU: each operation is one launch for all arrays.

    Args:
        rows: Before the step; after it in the same memory.
        gradients: Of some or all of its deltas.
        lr: Learning rate.
    """
    rows.steps.add_(1)
    names = [name for name in rows.deltas if name in gradients]
    if not names:
        return
    value, first, second, gradient = (
        [part[name] for name in names] for part in (rows.deltas, rows.first, rows.second, gradients)
    )
    torch._foreach_mul_(first, BETA1)
    torch._foreach_add_(first, gradient, alpha=1 - BETA1)
    torch._foreach_mul_(second, BETA2)
    torch._foreach_addcmul_(second, gradient, gradient, value=1 - BETA2)
    shapes = [(-1, *[1] * (array.dim() - 1)) for array in value]
    bias1, bias2 = 1 - BETA1**rows.steps, 1 - BETA2**rows.steps
    mean = torch._foreach_div(first, [bias1.view(shape) for shape in shapes])
    spread = torch._foreach_div(second, [bias2.view(shape) for shape in shapes])
    torch._foreach_sqrt_(spread)
    torch._foreach_add_(spread, EPSILON)
    torch._foreach_addcdiv_(value, mean, spread, value=-lr)
