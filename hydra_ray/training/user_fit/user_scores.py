"""Scores of many users' rows under the users' own heads, and their gradients: written out, or by autograd."""

from typing import Protocol

import torch
from torch import Tensor

from hydra_ray.models.heads import Deltas, DenseHead, Head, LinearHead, LowRankHead, scores
from hydra_ray.training.user_fit.analytic_scores import AnalyticScores

WRITTEN_OUT = (Head, LinearHead, DenseHead, LowRankHead)
"""Classes of heads, themselves and no subclasses, whose gradients `AnalyticScores` knows."""


class UserScores(Protocol):
    """Fixed rows z [U, R, Z] of U users under a head, without dropout."""

    def of(self, deltas: Deltas) -> Tensor:
        """The scores [U, R] of all rows; empty deltas: those of the shared head."""
        ...

    def gradients(self, g_UR: Tensor, deltas: Deltas) -> Deltas:
        """The gradient with respect to `deltas`, [U, ...] each, from that with respect to their scores."""
        ...


class AutogradScores:
    """See `UserScores`; for heads of any class."""

    def __init__(self, head: Head, z_URZ: Tensor) -> None:
        self._head, self._z_URZ = head, z_URZ

    @torch.no_grad()
    def of(self, deltas: Deltas) -> Tensor:
        """See `UserScores`."""
        return self._scores(deltas)

    def gradients(self, g_UR: Tensor, deltas: Deltas) -> Deltas:
        """See `UserScores`."""
        leaves = {name: value.detach().requires_grad_() for name, value in deltas.items()}
        with torch.enable_grad():
            found = torch.autograd.grad(self._scores(leaves), list(leaves.values()), g_UR)
        return dict(zip(leaves, found, strict=True))

    def _scores(self, deltas: Deltas) -> Tensor:
        training = self._head.training
        self._head.eval()
        try:
            return scores(self._head(self._z_URZ, deltas))
        finally:
            self._head.train(training)


def user_scores(head: Head, z_URZ: Tensor) -> UserScores:
    """The faster of the two that knows the head. z: [U, R, Z]."""
    return AnalyticScores(head, z_URZ) if type(head) in WRITTEN_OUT else AutogradScores(head, z_URZ)
