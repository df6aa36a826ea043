"""Heads of new users: the base is frozen, so many users are one batched problem over encodings computed once."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hydra_ray.config import FitConfig
from hydra_ray.models.heads import Deltas, Head
from hydra_ray.models.scorer import scores


def pad_users(
    encodings: Sequence[NDArray[np.float32]], labels: Sequence[NDArray[np.float32]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Users' rows, [R_u, Z] and [R_u] (NaN: no label), as padded z [U, R, Z], label [U, R] and mask [U, R]."""
    users, rows = len(encodings), max(1, max((len(x) for x in labels), default=1))
    width = encodings[0].shape[-1]
    z_URZ = torch.zeros(users, rows, width)
    label_UR, mask_UR = torch.zeros(users, rows), torch.zeros(users, rows)
    for u, (z, y) in enumerate(zip(encodings, labels, strict=True)):
        known = ~np.isnan(y)
        count = int(known.sum())
        z_URZ[u, :count] = torch.from_numpy(z[known])
        label_UR[u, :count] = torch.from_numpy(y[known])
        mask_UR[u, :count] = 1
    return z_URZ, label_UR, mask_UR


Rows = tuple[Tensor, Tensor, Tensor]
"""z [U, R, Z], label [U, R], mask [U, R], as `pad_users` makes them."""


def fit_heads(head: Head, rows: Rows, config: FitConfig, l2: float) -> Deltas:
    """Deltas [U, ...] fitted from the population head.

    Minimises, independently per user, the mean cross-entropy over the user's rows plus `l2` times the squared norm of
    the delta, by AdamW without dropout. A user without rows keeps the population head (zero delta). Runs where the rows
    are; the head must be there too.
    """
    head.eval()
    head.requires_grad_(False)
    z_URZ = rows[0]
    deltas = {name: value.to(z_URZ.device).requires_grad_() for name, value in head.zeros(len(z_URZ)).items()}
    if not deltas:
        return {}
    # Where only the output layer is the user's, the hidden states are the same in every epoch.
    h_URZ = head.hidden(z_URZ, {}) if set(deltas) <= {"out_weight", "out_bias"} else None
    optimizer = torch.optim.AdamW(list(deltas.values()), lr=config.lr, weight_decay=0.0)
    for _ in range(config.epochs):
        optimizer.zero_grad()
        prior_U = sum((value.flatten(1).square().sum(1) for value in deltas.values()), z_URZ.new_zeros(len(z_URZ)))
        torch.autograd.backward((_losses(head, rows, deltas, h_URZ) + l2 * prior_U).sum())
        optimizer.step()
    return {name: value.detach() for name, value in deltas.items()}


def _losses(head: Head, rows: Rows, deltas: Deltas, h_URZ: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of each user's rows, [U]."""
    z_URZ, label_UR, mask_UR = rows
    s_UR = scores(head.output(h_URZ, deltas) if h_URZ is not None else head(z_URZ, deltas))
    loss_UR = torch.nn.functional.softplus(s_UR) - label_UR * s_UR
    return (loss_UR * mask_UR).sum(1) / mask_UR.sum(1).clamp(min=1)


L2_GRID = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0)
"""Strengths that `choose_l2` tries; at the last one a delta hardly leaves zero."""


def choose_l2(head: Head, halves: tuple[Rows, Rows], config: FitConfig) -> tuple[float, dict[float, float]]:
    """The strength with the least loss on one half of the users' queries after a fit on the other, both ways round.

    An empirical Bayes estimate of the prior of the users' deltas, by cross-validation over training users. halves: rows
    of the same users, from different queries. Returns it and every strength's mean loss.
    """
    tried = {}
    for l2 in L2_GRID:
        held_out = []
        for learned, kept in (halves, halves[::-1]):
            deltas = fit_heads(head, learned, config, l2)
            with torch.no_grad():
                known = kept[2].sum(1) > 0
                held_out.append(_losses(head, kept, deltas)[known])
        tried[l2] = float(torch.cat(held_out).mean()) if held_out else 0.0
    return min(tried, key=lambda l2: (tried[l2], -l2)), tried
