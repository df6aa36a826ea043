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


def fit_heads(head: Head, z_URZ: Tensor, label_UR: Tensor, mask_UR: Tensor, config: FitConfig) -> tuple[Deltas, Tensor]:
    """Deltas [U, ...] fitted from the population head, and each user's last loss [U].

    Minimises, independently per user, the mean cross-entropy over the user's rows plus `l2` times the squared norm of
    the delta, by AdamW without dropout. A user without rows keeps the population head (zero delta).
    """
    head.eval()
    head.requires_grad_(False)
    deltas = {name: value.requires_grad_() for name, value in head.zeros(len(z_URZ)).items()}
    count_U = mask_UR.sum(1).clamp(min=1)

    def losses() -> tuple[Tensor, Tensor]:
        s_UR = scores(head.output(h_URZ, deltas) if h_URZ is not None else head(z_URZ, deltas))
        data_U = ((torch.nn.functional.softplus(s_UR) - label_UR * s_UR) * mask_UR).sum(1) / count_U
        prior_U = sum((value.flatten(1).square().sum(1) for value in deltas.values()), torch.zeros(len(z_URZ)))
        return data_U, data_U + config.l2 * prior_U

    # Where only the output layer is the user's, the hidden states are the same in every epoch.
    h_URZ = head.hidden(z_URZ, {}) if set(deltas) <= {"out_weight", "out_bias"} else None
    if not deltas:
        return {}, losses()[0]
    optimizer = torch.optim.AdamW(list(deltas.values()), lr=config.lr, weight_decay=0.0)
    for _ in range(config.epochs):
        optimizer.zero_grad()
        torch.autograd.backward(losses()[1].sum())
        optimizer.step()
    with torch.no_grad():
        final_U = losses()[0]
    return {name: value.detach() for name, value in deltas.items()}, final_U
