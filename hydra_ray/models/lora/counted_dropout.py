"""Dropout whose draws depend on the row and the layer alone, not on what else is in the batch.

A usual generator draws for a batch as it stands, so that a user's masks would depend on the other users. Here each
element's draw is a hash of (row's key, layer, position, feature): 16 bits of an integer hash with the shifts and the
multiplier of `lowbias32` (public domain, C. Wellons).

Shapes: B rows, T tokens, D features.
"""

import torch
from torch import Tensor

from hydra_ray.core.hashing import stable_seed

STEPS = 1 << 16
"""What 16 bits can tell apart: the probability is rounded to a multiple of 1 / STEPS."""


def counted_dropout(x_BTD: Tensor, probability: float, key_B: Tensor, layer: int) -> Tensor:
    """x with elements set to zero with this probability, the others divided by what is left of one.

    Args:
        x_BTD: Any floating dtype.
        probability: In [0, 1).
        key_B: A number for each row, int32.
        layer: Which layer's draws.
    """
    dropped = round(probability * STEPS)
    if not dropped:
        return x_BTD
    _, tokens, width = x_BTD.shape
    half = (width + 1) // 2
    # A counter for two features each, in which a token's place does not depend on how long the batch is.
    counter_TH = torch.arange(tokens * half, dtype=torch.int32, device=x_BTD.device).view(tokens, half)
    counter_TH = _mixed(counter_TH ^ stable_seed(layer))
    bits_BTH = _mixed(counter_TH ^ key_B.view(-1, 1, 1))
    kept_BTD = bits_BTH.view(torch.int16)[..., :width] >= dropped - STEPS // 2
    return x_BTD * kept_BTD * (STEPS / (STEPS - dropped))


def _mixed(x: Tensor) -> Tensor:
    """An integer hash of int32 numbers; products wrap around."""
    x = x ^ (x >> 16 & 0xFFFF)
    x = x * 0x7FEB352D
    x = x ^ (x >> 15 & 0x1FFFF)
    x = x * (0x846CA68B - (1 << 32))
    return x ^ (x >> 16 & 0xFFFF)
