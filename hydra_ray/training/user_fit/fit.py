"""Heads of new users: the base is frozen, so many users are one batched problem over pair embeddings computed once."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

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


Halves = tuple[PaddedUsers, PaddedUsers]
"""Rows of the same users, from different queries."""


def choose_l2(
    head: Head, halves: Halves, config: FitConfig, loss: Loss = "bce", grid: Sequence[float] = L2_GRID
) -> tuple[float, dict[float, float], Tensor]:
    """The strength with the least loss on one half of the users' queries after a fit on the other, both ways round.

    An empirical Bayes estimate of the prior of the users' deltas, by cross-validation over training users. grid: the
    strengths that are tried. Returns it, every strength's mean loss over users, and each user's loss under it, [U];
    where no row tells anything, the strongest, and zeros.
    """
    tried: dict[float, float] = {}
    losses: dict[float, Tensor] = {}
    for l2 in grid:
        losses[l2] = held_out_losses(head, halves, partial(fit_heads, head, config=config, l2=l2, loss=loss), loss)
        known = losses[l2][~losses[l2].isnan()]
        tried[l2] = float(known.mean()) if len(known) else 0.0
    best = min(tried, key=lambda l2: (tried[l2], -l2))
    return best, tried, losses[best]


def held_out_losses(head: Head, halves: Halves, fit: Callable[[PaddedUsers], Deltas], loss: Loss) -> Tensor:
    """Each user's mean loss on either half after a fit on the other, nats a row, [U]; NaN without rows in any."""
    found = []
    for learned, kept in (halves, halves[::-1]):
        losses = Losses(kept, loss)
        of_users_U = losses(user_scores(head, kept.z).of(fit(learned)))
        found.append(torch.where(losses.rows_U > 0, of_users_U, torch.nan))
    return torch.stack(found).nanmean(0)
