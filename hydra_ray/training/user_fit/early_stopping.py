"""Early stopping per user: how long a user's head learns is decided on queries of that user's own, held out.

The shared head is epoch 0. A user learns all epochs unless an earlier one is better on the held-out queries by more
than `FitConfig.early_stop_margin_se` standard errors of the difference, over those queries. The margin is there because
a user has few of them. Simulated users (linear, low_rank and dense; no, some and strong taste; 4, 6 and 10 queries of 6
rows; pull from `choose_l2`), mean loss on further queries: .5262 with the shared head, .4932 where all learned all
epochs, .5151 where each stopped at the epoch that was best on the held-out rows, .4961 with a margin of 1, .4947 with
2. Without the second fit, on all rows, each is .001 to .004 worse.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hydra_ray.config import FitConfig
from hydra_ray.models.heads import Deltas, Head
from hydra_ray.models.losses import Loss
from hydra_ray.training.user_fit.batched_adam import BatchedAdam, Losses, minimize
from hydra_ray.training.user_fit.padded_users import PaddedUsers
from hydra_ray.training.user_fit.user_scores import user_scores

LEAST_GAIN = 1e-4
"""An epoch is better only if the held-out loss (nats a row) is lower by more than this: never by rounding alone."""


@dataclass(frozen=True, slots=True)
class FitResult:
    """Deltas [U, ...] and how they came about, per user [U].

    epoch: int64, epochs learned; 0: the shared head was best on the user's held-out rows, the delta is exactly 0.
    tested: bool, whether the user had held-out rows; the others learned all epochs, held by the prior alone.
    before, after: mean held-out loss of the shared head, and of the user's head after `epoch` epochs that had not
    seen the held-out rows; NaN where there were none.
    """

    deltas: Deltas
    epoch: Tensor
    tested: Tensor
    before: Tensor
    after: Tensor


def fit_heads_stopped(
    head: Head,
    rows: PaddedUsers,
    held_out_UR: Tensor,
    config: FitConfig,
    l2: float,
    loss: Loss = "bce",
    start: Deltas | None = None,
) -> FitResult:
    """Fits as `fit_heads` does, but each user for that user's own number of epochs, at most `config.epochs`.

    First from the shared head on the rows that are not held out (`held_out`: bool [U, R], whole queries, see
    `PaddedUsers.held_out`), to find that number; then on all the user's rows. start: deltas [U, ...] of an earlier fit,
    where this second fit begins (None: at the shared head); the first does not begin there, as they have seen the
    held-out rows. Users do not influence each other, and one who is done costs the others no time. A user without rows
    to learn from keeps the shared head.
    """
    device = rows.z.device
    learned, kept = rows.only(~held_out_UR), rows.only(held_out_UR)
    tested_U = (Losses(learned, loss).rows_U > 0) & (Losses(kept, loss).rows_U > 0)
    who = tested_U.nonzero().flatten()
    epoch_U = torch.full((len(rows),), config.epochs, dtype=torch.int64, device=device)
    before_U, after_U = (torch.full((len(rows),), torch.nan, device=device) for _ in range(2))
    if len(who) and head.delta_shapes():
        epoch_U[who], before_U[who], after_U[who] = _choose_epochs(
            head,
            learned.users(who),
            kept.users(who),
            config,
            l2,
            loss,
        )
    # The prior alone would only pull at a delta of zero.
    epoch_U[Losses(rows, loss).rows_U == 0] = 0
    deltas = minimize(head, rows, epoch_U, config, l2, loss, start)
    return FitResult(deltas, epoch_U, tested_U, before_U, after_U)


def _choose_epochs(
    head: Head, learned: PaddedUsers, kept: PaddedUsers, config: FitConfig, l2: float, loss: Loss
) -> tuple[Tensor, Tensor, Tensor]:
    """Each user's number of epochs, held-out loss before, and after so many; [U] each."""
    descent, losses = BatchedAdam(head, learned, config, l2, loss), Losses(kept, loss)
    best_UQ = losses.by_query(descent.shared())
    before_U = best_U = best_UQ.sum(1) / losses.rows_U
    epoch_U = torch.zeros(len(learned), dtype=torch.int64, device=before_U.device)
    for epoch in range(config.epochs + 1):
        # Learned and held-out rows lie in the same tensors: the scores that a step needs anyway test the one before.
        now_UQ = losses.by_query(descent.epoch() if epoch < config.epochs else descent.scores())
        now_U = now_UQ.sum(1) / losses.rows_U
        better_U = (now_U < best_U - LEAST_GAIN) & (epoch > 0)
        best_UQ = torch.where(better_U.unsqueeze(1), now_UQ, best_UQ)
        best_U, epoch_U = torch.where(better_U, now_U, best_U), torch.where(better_U, epoch, epoch_U)
    gain_UQ = (now_UQ - best_UQ) / losses.rows_UQ.clamp(min=1)
    clear_U = _exceeds(gain_UQ, losses.rows_UQ > 0, config.early_stop_margin_se)
    return torch.where(clear_U, epoch_U, config.epochs), before_U, torch.where(clear_U, best_U, now_U)


def prefers_shared_head(
    head: Head, kept: PaddedUsers, deltas: Deltas, margin: float, loss: Loss
) -> tuple[Tensor, Tensor, Tensor]:
    """For solvers without epochs: whom the shared head serves better, by the same rule. All [U].

    kept: held-out rows, which `deltas` have not seen. Returns whether the shared head's loss there is lower by more
    than `margin` standard errors (0: at all), its loss, and that of the users' own heads; NaN where nothing was held
    out.
    """
    losses, rows = Losses(kept, loss), user_scores(head, kept.z)
    shared_UQ, own_UQ = losses.by_query(rows.of({})), losses.by_query(rows.of(deltas))
    tested_U = losses.rows_U > 0
    before_U, after_U = (by_UQ.sum(1) / losses.rows_U.clamp(min=1) for by_UQ in (shared_UQ, own_UQ))
    gain_UQ = (own_UQ - shared_UQ) / losses.rows_UQ.clamp(min=1)
    clear_U = _exceeds(gain_UQ, losses.rows_UQ > 0, margin) & (after_U > before_U + LEAST_GAIN)
    unknown = torch.full_like(before_U, torch.nan)
    return clear_U & tested_U, torch.where(tested_U, before_U, unknown), torch.where(tested_U, after_U, unknown)


def _exceeds(gain_UQ: Tensor, known_UQ: Tensor, margin: float) -> Tensor:
    """Whether the mean gain over a user's queries is above `margin` of its standard errors, bool [U].

    One query has no standard error and is never enough. A margin of 0 takes the best epoch as it is.
    """
    if margin == 0:
        return torch.ones_like(known_UQ[:, 0])
    count_U = known_UQ.sum(1).to(gain_UQ.dtype)
    mean_U = (gain_UQ * known_UQ).sum(1) / count_U
    spread_U = ((gain_UQ - mean_U.unsqueeze(1)).square() * known_UQ).sum(1) / (count_U - 1).clamp(min=1)
    return (count_U > 1) & (mean_U > LEAST_GAIN) & (mean_U > margin * (spread_U / count_U).sqrt())
