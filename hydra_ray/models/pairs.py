"""The shared base: two texts -> one pair encoding. `cross` reads both at once, `bi` each alone."""

import torch
from torch import Tensor, nn


class Interaction(nn.Module):
    """Pair encoding of two text vectors: z = tanh(W [(A l) * (B r) ; l ; r]) + (A l) * (B r).

    The product of two learned projections lets the base ask "do both texts agree in this respect?" in many respects at
    once, which a user's head then weighs; it is the low-rank bilinear form of Kim et al. 2017 (arXiv 1610.04325).
    """

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.left = nn.Linear(width_in, width_out)
        self.right = nn.Linear(width_in, width_out)
        self.norm = nn.LayerNorm(width_out)
        self.mix = nn.Linear(width_out + 2 * width_in, width_out)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """left [..., D], right [..., D] -> [..., Z]."""
        scale = left.shape[-1] ** 0.5
        left = nn.functional.normalize(left, dim=-1) * scale
        right = nn.functional.normalize(right, dim=-1) * scale
        agree = self.norm(self.left(left) * self.right(right))
        pair: Tensor = agree + torch.tanh(self.mix(torch.cat([agree, left, right], dim=-1)))
        return pair
