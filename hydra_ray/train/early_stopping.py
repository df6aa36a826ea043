"""Early stopping per user: how long a user's head learns is decided on queries of that user's own, held out."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hydra_ray.config import FitConfig
from hydra_ray.models.heads import Deltas, Head
from hydra_ray.models.losses import Loss
from hydra_ray.train.descent import Descent, Losses, descend
from hydra_ray.train.user_rows import UserRows

LEAST_GAIN = 1e-4
"""An epoch is better if it lowers the held-out loss (nats a row) by more than this: never by rounding alone."""


@dataclass(frozen=True, slots=True)
class FitResult:
    """Deltas [U, ...] and how they came about, per user [U].

    epoch: int64, epochs learned; 0: the population head was best on the user's held-out rows, the delta is exactly 0.
    tested: bool, whether the user had held-out rows; the others learned all epochs, held by the prior alone.
    before, after: mean held-out loss of the population head, and of the user's head at its best epoch before it had
    seen the held-out rows; NaN where there were none.
    """

    deltas: Deltas
    epoch_U: Tensor
    tested_U: Tensor
    before_U: Tensor
    after_U: Tensor

    @property
    def kept_population_U(self) -> Tensor:
        """Users whose own data could not beat the population head, bool [U]."""
        return self.tested_U & (self.epoch_U == 0)


def fit_heads_stopped(
    head: Head,
    rows: UserRows,
    held_out_UR: Tensor,
    config: FitConfig,
    l2: float,
    loss: Loss = "two_class",
    refit: bool = True,
) -> FitResult:
    """Fits as `fit_heads` does, but each user for that user's own number of epochs, at most `config.epochs`.

    First on the rows that are not held out (`held_out`: bool [U, R], whole queries, see `UserRows.held_out`): a user is
    done after `config.patience` epochs without a better held-out loss. Then from the start again on all the user's
    rows, for the best number of epochs (`refit`; false: on the rows not held out). Users do not influence each other.
    A user without rows to learn from keeps the population head.
    """
    device = rows.z_URZ.device
    learned, kept = rows.only(~held_out_UR), rows.only(held_out_UR)
    tested_U = (Losses(learned, loss).rows_U > 0) & (Losses(kept, loss).rows_U > 0)
    who = tested_U.nonzero().flatten()
    epoch_U = torch.full((len(rows),), config.epochs, dtype=torch.int64, device=device)
    before_U, after_U = (torch.full((len(rows),), torch.nan, device=device) for _ in range(2))
    if len(who) and head.delta_shapes():
        epoch_U[who], before_U[who], after_U[who] = _best_epochs(
            head, learned.users(who), kept.users(who), config, l2, loss
        )
    # The prior alone would only pull at a delta of zero.
    epoch_U[Losses(rows, loss).rows_U == 0] = 0
    deltas = descend(head, rows if refit else learned, epoch_U, config, l2, loss)
    return FitResult(deltas, epoch_U, tested_U, before_U, after_U)


def _best_epochs(
    head: Head, learned: UserRows, kept: UserRows, config: FitConfig, l2: float, loss: Loss
) -> tuple[Tensor, Tensor, Tensor]:
    """Each user's best number of epochs, held-out loss before, and at the best; [U] each."""
    users = len(learned)
    descent, losses = Descent(head, learned, config, l2, loss), Losses(kept, loss)
    before_U = losses(descent.scores())
    best_U, epoch_U = before_U.clone(), torch.zeros(users, dtype=torch.int64, device=before_U.device)
    learning = torch.arange(users, device=before_U.device)
    done = torch.zeros(users, dtype=torch.bool, device=before_U.device)
    for epoch in range(config.epochs + 1):
        # Learned and held-out rows lie in the same tensors: the scores that a step needs anyway test the one before.
        now = losses(descent.epoch() if epoch < config.epochs else descent.scores())
        # Who is done stays so, however long the others keep the batch together.
        better = (now < best_U[learning] - LEAST_GAIN) & ~done
        best_U[learning[better]], epoch_U[learning[better]] = now[better], epoch
        done = done | (epoch - epoch_U[learning] >= config.patience)
        on = (~done).nonzero().flatten()
        if not len(on):
            break
        if len(on) <= len(learning) // 2:
            descent.keep(on)
            kept, learning, done = kept.users(on), learning[on], done[on]
            losses = Losses(kept, loss)
    return epoch_U, before_U, best_U
