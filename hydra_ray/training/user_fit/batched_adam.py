"""Gradient descent on the deltas of many users at once, where each user's course is independent of the others'."""

import torch
from torch import Tensor

from hydra_ray.config import FitConfig
from hydra_ray.models.heads import Deltas, Head
from hydra_ray.models.losses import Loss, counts, query_losses
from hydra_ray.training.joint.row_adam import BETA1, BETA2, EPSILON
from hydra_ray.training.user_fit.padded_users import PaddedUsers, refuse_nonfinite
from hydra_ray.training.user_fit.user_scores import user_scores


class Losses:
    """Each user's mean loss over the rows that count, from scores [U, R].

    For a ranking loss, only rows of queries with unequal labels count.
    """

    def __init__(self, rows: PaddedUsers, loss: Loss) -> None:
        self.loss: Loss = loss
        index_UQR = rows.rows_by_query()
        self._shape = index_UQR.shape
        self._index = index_UQR.clamp(min=0).flatten(1)
        self._label_UQR = self._spread(rows.label)
        self._mask_UQR = self._spread(rows.mask) * (index_UQR >= 0)
        self._mask_UQR = self._mask_UQR * counts(self._label_UQR, self._mask_UQR, loss).unsqueeze(-1)
        self.rows_UQ = self._mask_UQR.sum(2)
        self.rows_U = self.rows_UQ.sum(1)

    def __call__(self, s_UR: Tensor) -> Tensor:
        """[U]; 0 for a user without rows that count."""
        return self.by_query(s_UR).sum(1) / self.rows_U.clamp(min=1)

    def by_query(self, s_UR: Tensor) -> Tensor:
        """Each query's loss, the sum over its rows, [U, Q]."""
        return query_losses(self._spread(s_UR), self._label_UQR, self._mask_UQR, self.loss)

    def _spread(self, x_UR: Tensor) -> Tensor:
        return x_UR.gather(1, self._index).view(self._shape)


class BatchedAdam:
    """Adam from the shared head, or from `start`, one full batch per epoch, without dropout; all on the device of
    the rows.

    Minimises per user the mean loss over the user's rows plus `l2` times the squared norm of the delta.
    """

    def __init__(
        self, head: Head, rows: PaddedUsers, config: FitConfig, l2: float, loss: Loss, start: Deltas | None = None
    ) -> None:
        self._head, self._rows, self._lr, self._l2, self._loss = head, rows, config.lr, l2, loss
        device = rows.z.device
        self.deltas: Deltas = {
            name: start[name].to(device, copy=True) if start else torch.zeros(len(rows), *shape, device=device)
            for name, shape in head.delta_shapes().items()
        }
        self._first = {name: torch.zeros_like(value) for name, value in self.deltas.items()}
        self._second = {name: torch.zeros_like(value) for name, value in self.deltas.items()}
        self._steps = 0
        self._scores = user_scores(head, rows.z)
        self._losses = Losses(rows, loss)

    def epoch(self) -> Tensor:
        """One step; returns the scores [U, R] of all rows before it, those that `rows` masks out too."""
        s_UR = self.scores().requires_grad_()
        with torch.enable_grad():
            (g_UR,) = torch.autograd.grad(self._losses(s_UR).sum(), s_UR)
        self._steps += 1
        for name, gradient in self._scores.gradients(g_UR, self.deltas).items():
            delta = self.deltas[name]
            self._adam(name, delta, gradient.add_(delta, alpha=2 * self._l2))
        return s_UR.detach()

    def scores(self) -> Tensor:
        """The scores [U, R] of all rows as the deltas are now."""
        return self._scores.of(self.deltas)

    def shared(self) -> Tensor:
        """The shared head's scores [U, R] of all rows."""
        return self._scores.of({})

    def keep(self, index: Tensor) -> None:
        """Goes on with the users at `index` (int64) alone."""
        for values in (self.deltas, self._first, self._second):
            for name in values:
                values[name] = values[name][index]
        self._rows = self._rows.users(index)
        self._scores = user_scores(self._head, self._rows.z)
        self._losses = Losses(self._rows, self._loss)

    def _adam(self, name: str, delta: Tensor, gradient: Tensor) -> None:
        first, second = self._first[name], self._second[name]
        first.lerp_(gradient, 1 - BETA1)
        second.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        spread = (second / (1 - BETA2**self._steps)).sqrt_().add_(EPSILON)
        delta.addcdiv_(first, spread, value=-self._lr / (1 - BETA1**self._steps))


def minimize(
    head: Head,
    rows: PaddedUsers,
    epochs_U: Tensor,
    config: FitConfig,
    l2: float,
    loss: Loss,
    start: Deltas | None = None,
) -> Deltas:
    """Deltas [U, ...] after each user's own number of epochs (int64 [U]); 0 epochs give exactly zero.

    start: where they begin, [U, ...] (None: at the shared head).

    Raises NonFiniteError if a delta is not finite.
    """
    device = rows.z.device
    out = {name: torch.zeros(len(rows), *shape, device=device) for name, shape in head.delta_shapes().items()}
    # Those who go on longest come first, so that the ones still learning are always a prefix.
    order = epochs_U.argsort(descending=True, stable=True)
    left = epochs_U[order]
    order, left = order[left > 0], left[left > 0]
    if not len(order) or not out:
        return out
    begin = {name: value[order] for name, value in start.items()} if start else None
    descent = BatchedAdam(head, rows.users(order), config, l2, loss, begin)
    for epoch in range(1, int(left[0]) + 1):
        descent.epoch()
        done = (left == epoch).nonzero().flatten()
        for name in out if len(done) else ():
            out[name][order[done]] = descent.deltas[name][done]
        learning = (left > epoch).nonzero().flatten()
        # Half the users gone pays for the copy: a user who is done costs at most one other user's time.
        if 0 < len(learning) <= len(left) // 2:
            descent.keep(learning)
            order, left = order[learning], left[learning]
    for value in out.values():
        refuse_nonfinite("fitted heads", value)
    return out
