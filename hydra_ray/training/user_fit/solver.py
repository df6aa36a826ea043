"""One way to fit each head kind: what the training users teach first, then the users themselves."""

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from hydra_ray.config import FitConfig
from hydra_ray.config.head_kinds import head_kind
from hydra_ray.models.heads import Deltas, Head
from hydra_ray.models.losses import Loss
from hydra_ray.training.user_fit.batched_adam import minimize
from hydra_ray.training.user_fit.early_stopping import fit_heads_stopped, prefers_shared_head
from hydra_ray.training.user_fit.fit import L2_GRID, Halves, choose_l2, held_out_losses
from hydra_ray.training.user_fit.guard import Refit, worse_than_shared_head
from hydra_ray.training.user_fit.padded_users import PaddedUsers
from hydra_ray.training.user_fit.prior import SMALLEST, estimate_prior, fit_heads_under_prior

Tuned = dict[str, Any]
"""What was learned from the training users, as JSON: `l2`, or the prior's `precision`, and how it was found
(`held_out_loss`: by each strength that was tried)."""


class Tuning(NamedTuple):
    """What was tuned, and each training user's loss on held-out queries under it: nats a row, [U], NaN where none was
    tested."""

    tuned: Tuned
    losses: Tensor


@dataclass(frozen=True, slots=True)
class Fitted:
    """Deltas [U, ...] and what is known of each user, [U].

    epoch: int64, epochs learned; 0 for solvers without epochs. kept_shared_head: bool, whether the user's own rows
    could not beat the shared head; guarded: bool, whether it was the guard that found so. before, after: held-out loss
    of the shared head and of the user's, in nats a row; NaN where it was not tested.
    """

    deltas: Deltas
    epoch: Tensor
    kept_shared_head: Tensor
    guarded: Tensor
    before: Tensor
    after: Tensor

    def to(self, device: torch.device) -> "Fitted":
        """The same on a device."""
        deltas = {name: value.to(device) for name, value in self.deltas.items()}
        return Fitted(deltas, *(getattr(self, field.name).to(device) for field in fields(self)[1:]))


class Solver(Protocol):
    """How new users' heads of a kind are fitted."""

    def tune(self, head: Head, rows: PaddedUsers, config: FitConfig, loss: Loss) -> Tuning:
        """What the training users teach. rows: theirs, with two queries or more a user; there may be none."""
        ...

    def solve(
        self, head: Head, rows: PaddedUsers, tuned: Tuned, config: FitConfig, loss: Loss, start: Deltas | None
    ) -> tuple[Fitted, Refit]:
        """Every user's head, and what fits the same users again on fewer rows. start: where an earlier fit ended."""
        ...


class Descent:
    """Adam from the shared head, pulled to it by `fit.l2`, or by the strength that serves the training users best."""

    def tune(self, head: Head, rows: PaddedUsers, config: FitConfig, loss: Loss) -> Tuning:
        """See `Solver`."""
        tested = {"tuning_users": len(rows)}
        grid = L2_GRID if config.l2 is None else (config.l2,)
        if not len(rows):
            # No user shows how users differ: all stay at the shared head.
            return Tuning({"l2": grid[-1], **tested}, torch.zeros(0))
        l2, tried, losses_U = choose_l2(head, _halves(rows), config, loss, grid)
        held_out = {f"{k:g}": round(v, 5) for k, v in tried.items()}
        return Tuning({"l2": l2, "held_out_loss": held_out, **tested}, losses_U)

    def solve(
        self, head: Head, rows: PaddedUsers, tuned: Tuned, config: FitConfig, loss: Loss, start: Deltas | None
    ) -> tuple[Fitted, Refit]:
        """See `Solver`."""
        found = fit_heads_stopped(head, rows, rows.held_out(), config, tuned["l2"], loss, start=start)
        kept = found.epoch == 0
        fitted = Fitted(found.deltas, found.epoch, kept, torch.zeros_like(kept), found.before, found.after)
        return fitted, lambda learned: minimize(head, learned, found.epoch, config, tuned["l2"], loss, None)


class UnderPrior:
    """Newton's method under a Gaussian prior that is estimated from the training users: `bayesian_linear`."""

    def tune(self, head: Head, rows: PaddedUsers, config: FitConfig, loss: Loss) -> Tuning:
        """See `Solver`."""
        tested = {"tuning_users": len(rows)}
        if not len(rows):
            return Tuning({"precision": [1 / SMALLEST] * (head.width + 1), **tested}, torch.zeros(0))
        prior = estimate_prior(head, rows)
        precision = prior.precision.to(rows.z)
        losses_U = held_out_losses(head, _halves(rows), lambda part: fit_heads_under_prior(head, part, precision), loss)
        tuned = {
            "precision": prior.precision.tolist(),
            "scale": prior.scale,
            "rounds": prior.rounds,
            "held_out_loss": {f"{k:g}": round(v, 5) for k, v in prior.held_out.items()},
            **tested,
        }
        return Tuning(tuned, losses_U)

    def solve(
        self, head: Head, rows: PaddedUsers, tuned: Tuned, config: FitConfig, loss: Loss, start: Deltas | None
    ) -> tuple[Fitted, Refit]:
        """See `Solver`."""
        precision = torch.tensor(tuned["precision"], dtype=rows.z.dtype, device=rows.z.device)
        held_out = rows.held_out()
        trial = fit_heads_under_prior(head, rows.only(~held_out), precision)
        worse, before, after = prefers_shared_head(head, rows.only(held_out), trial, config.early_stop_margin_se, loss)
        deltas = fit_heads_under_prior(head, rows, precision)
        for value in deltas.values():
            value[worse] = 0
        kept = worse | (rows.mask.sum(1) == 0)
        found = Fitted(deltas, torch.zeros_like(kept, dtype=torch.int64), kept, torch.zeros_like(kept), before, after)
        return found, lambda learned: fit_heads_under_prior(head, learned, precision)


def fit_prior(head: Head, rows: PaddedUsers, config: FitConfig, loss: Loss) -> Tuning:
    """How strongly new users' heads are pulled to the shared head, from training users with two queries or more."""
    return _solver(head).tune(head, rows, config, loss)


def _halves(rows: PaddedUsers) -> Halves:
    """The rows of even and of odd queries."""
    even = rows.query % 2 == 0
    return rows.only(even), rows.only(~even)


def _solver(head: Head) -> Solver:
    found: Solver = head_kind(head.kind).new_solver()
    return found


def solve_heads(
    head: Head,
    rows: PaddedUsers,
    tuned: Tuned,
    config: FitConfig,
    loss: Loss,
    start: Deltas | None = None,
    *,
    needs_gain: bool = False,
) -> Fitted:
    """Every user's head; users do not influence each other. start: deltas [U, ...] of an earlier fit, to begin at.
    needs_gain: whether the guard asks for a gain, as it does of adapters.

    Where `config.guard` says so, users whose own queries speak against their heads keep the shared head's
    (`hydra_ray.training.user_fit.guard`). Raises UserError for features that are not finite.
    """
    fitted, refit = _solver(head).solve(head, rows, tuned, config, loss, start)
    if not config.guard or not head.delta_shapes():
        return fitted
    against = worse_than_shared_head(head, rows, config.guard, refit, needs_gain=needs_gain)
    for value in fitted.deltas.values():
        value[against] = 0
    return replace(fitted, kept_shared_head=fitted.kept_shared_head | against, guarded=against)


def describe(tuned: Tuned) -> str:
    """One line for the progress."""
    if "l2" in tuned:
        return f"l2 {tuned['l2']:g}"
    values = torch.tensor(tuned["precision"]).rsqrt()
    return f"prior of the residuals, standard deviations {float(values.min()):.2g} to {float(values.max()):.2g}"
