"""Heads of new users: the base is frozen, so many users are one batched problem over encodings computed once."""

from collections.abc import Sequence

import torch

from hydra_ray.config import FitConfig
from hydra_ray.models.heads import Deltas, Head
from hydra_ray.models.losses import Loss
from hydra_ray.training.user_fit.batched_adam import Losses, minimize
from hydra_ray.training.user_fit.padded_users import PaddedUsers
from hydra_ray.training.user_fit.user_scores import user_scores


def fit_heads(head: Head, rows: PaddedUsers, config: FitConfig, l2: float, loss: Loss = "bce") -> Deltas:
    """Deltas [U, ...] after `config.epochs` epochs from the shared head, for every user.

    Minimises, independently per user, the mean loss over the user's rows plus `l2` times the squared norm of the
    delta, by Adam without dropout. A user without rows keeps the shared head (zero delta).
    """
    epochs_U = torch.full((len(rows),), config.epochs, dtype=torch.int64, device=rows.z.device)
    return minimize(head, rows, epochs_U, config, l2, loss)


L2_GRID = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0)
"""Strengths that `choose_l2` tries; at the last one a delta hardly leaves zero."""


def choose_l2(
    head: Head,
    halves: tuple[PaddedUsers, PaddedUsers],
    config: FitConfig,
    loss: Loss = "bce",
    grid: Sequence[float] = L2_GRID,
) -> tuple[float, dict[float, float]]:
    """The strength with the least loss on one half of the users' queries after a fit on the other, both ways round.

    An empirical Bayes estimate of the prior of the users' deltas, by cross-validation over training users. halves: rows
    of the same users, from different queries. grid: the strengths that are tried. Returns it and every strength's mean
    loss; where no row tells anything, the strongest, and zeros.
    """
    tried = {}
    for l2 in grid:
        held_out = []
        for learned, kept in (halves, halves[::-1]):
            deltas = fit_heads(head, learned, config, l2, loss)
            losses = Losses(kept, loss)
            held_out.append(losses(user_scores(head, kept.z).of(deltas))[losses.rows_U > 0])
        found = torch.cat(held_out)
        tried[l2] = float(found.mean()) if len(found) else 0.0
    return min(tried, key=lambda l2: (tried[l2], -l2)), tried
