"""The prior of the `bayesian_linear` head, estimated from training users (empirical Bayes), and the fit under it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hydra_ray.models.heads import Deltas, Head
from hydra_ray.training.user_fit.bayesian_linear import (
    bayesian_linear_deltas,
    fit_bayesian_linear,
    shared_head_features,
)
from hydra_ray.training.user_fit.padded_users import PaddedUsers

POOLING_USERS = 10.0
"""Each weight's variance leans on the weights' common one as if so many users more had shown that. On simulated users
(24 weights, 50 to 250 users, six kinds of taste) the loss on new rows under the estimate was above that under the true
prior by .0032 nats with 10, .0047 with 30, .0045 with 0 and .0154 with one variance for all weights."""
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Tried on the estimated variances by cross-validation: Laplace's approximation makes them too small where users have
few rows. Without this step the .0032 nats above were .0090."""
SMALLEST, LARGEST = 1e-6, 1e4
"""Bounds of a variance: at the lower one a head is the shared head."""
ROUNDS = 100
TOLERANCE, NOTHING = 2e-2, 1e-2
"""Done when no variance changes by more than two per cent of itself plus NOTHING (a spread of .1)."""
BATCH_USERS = 256
"""Users solved for at once: their systems then stay in a core's cache (9,100 users/s against 5,400 for 4,000 at once,
at 40 rows and 68 features)."""


@dataclass(frozen=True, slots=True)
class Prior:
    """w ~ N(0, diag(variance)), variance [F]: the weights' and, last, the bias's.

    scale: what `SCALES` contributed to it. held_out: every scale's mean held-out loss (nats a row), empty where no user
    had two queries. rounds: until the estimate stood still.
    """

    variance: Tensor
    scale: float
    held_out: dict[float, float]
    rounds: int

    @property
    def precision(self) -> Tensor:
        """One over the variances, as `fit_bayesian_linear` takes it."""
        return 1 / self.variance


def estimate_prior(head: Head, rows: PaddedUsers) -> Prior:
    """The prior that explains the training users' rows, with one variance per weight, in float64 (1 - a ratio near 1).

    MacKay's fixed point (1992; Bishop 2006, section 3.5) over users: a variance is the sum of w^2 over the users,
    divided by the sum of gamma = 1 - posterior / prior variance, the share of each w that the data determine. Then a
    common factor, by cross-validation between each user's even and odd queries. Without any rows every variance is
    SMALLEST.
    Raises UserError as `fit_bayesian_linear` does.
    """
    h_URZ, offset_UR = (x.double() for x in shared_head_features(head, rows))
    label_UR, mask_UR = rows.label.double(), rows.mask.double()
    users = int((mask_UR.sum(1) > 0).sum())
    weights = h_URZ.shape[-1]
    variance_F = torch.ones(weights + 1, dtype=torch.float64, device=h_URZ.device)
    if not users:
        return Prior(variance_F * SMALLEST, 1.0, {}, 0)
    for rounds in range(1, ROUNDS + 1):  # noqa: B007
        fit = fit_bayesian_linear(h_URZ, offset_UR, label_UR, mask_UR, 1 / variance_F)
        size_F = fit.w.square().sum(0)
        known_F = (1 - fit.variance / variance_F).sum(0).clamp(min=1e-9)
        common, known = size_F[:weights].sum() / known_F[:weights].sum(), known_F[:weights].mean()
        pull = POOLING_USERS / users * known
        new_F = size_F / known_F
        new_F[:weights] = (size_F[:weights] + pull * common) / (known_F[:weights] + pull)
        new_F = new_F.clamp(SMALLEST, LARGEST)
        still = bool(((new_F - variance_F).abs() <= TOLERANCE * variance_F + TOLERANCE * NOTHING).all())
        variance_F = new_F
        if still:
            break
    held_out = _scales(h_URZ, offset_UR, rows, variance_F)
    scale = min(held_out, key=lambda tried: (held_out[tried], tried)) if held_out else 1.0
    return Prior((variance_F * scale).clamp(SMALLEST, LARGEST), scale, held_out, rounds)


def _scales(h_URZ: Tensor, offset_UR: Tensor, rows: PaddedUsers, variance_F: Tensor) -> dict[float, float]:
    """Mean loss of each user's even queries after a fit on the odd ones, and the other way round, per scale."""
    even_UR = rows.query % 2 == 0
    halves = rows.only(even_UR).mask.double(), rows.only(~even_UR).mask.double()
    paired_U = (halves[0].sum(1) > 0) & (halves[1].sum(1) > 0)
    if not bool(paired_U.any()):
        return {}
    h_URZ, offset_UR, label_UR = h_URZ[paired_U], offset_UR[paired_U], rows.label[paired_U].double()
    first, second = halves[0][paired_U], halves[1][paired_U]
    losses = {}
    for scale in SCALES:
        total = h_URZ.new_zeros(())
        for learned_UR, kept_UR in ((first, second), (second, first)):
            w_UF = fit_bayesian_linear(h_URZ, offset_UR, label_UR, learned_UR, 1 / (variance_F * scale)).w
            s_UR = offset_UR + (h_URZ @ w_UF[:, :-1].unsqueeze(-1)).squeeze(-1) + w_UF[:, -1:]
            total += ((torch.nn.functional.softplus(s_UR) - label_UR * s_UR) * kept_UR).sum()
        losses[scale] = float(total / (first.sum() + second.sum()))
    return losses


def fit_heads_under_prior(head: Head, rows: PaddedUsers, precision_F: Tensor) -> Deltas:
    """Deltas [U, ...] of all users in the shape of the `linear` kind; `fit_heads` for the `bayesian_linear` kind.

    precision: `Prior.precision`. A user without rows keeps the shared head (zero delta). Raises UserError as
    `fit_bayesian_linear` does.
    """
    parts = []
    for start in range(0, len(rows), BATCH_USERS):
        part = rows.users(torch.arange(start, min(start + BATCH_USERS, len(rows)), device=rows.z.device))
        h_URZ, offset_UR = shared_head_features(head, part)
        parts.append(fit_bayesian_linear(h_URZ, offset_UR, part.label, part.mask, precision_F).w)
    width = rows.z.shape[-1] + 1
    return bayesian_linear_deltas(torch.cat(parts) if parts else rows.z.new_zeros(0, width))
