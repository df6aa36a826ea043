"""Trains many users' LoRA at once on one frozen base.

Held equal to each user trained alone: initial weights, batches and their order, learning rates, gradient clip,
dropout's draws, and the loss, which is the mean over the learned tokens of a user's batch. A step takes the next batch
of every user who still learns, cuts all their rows into forwards by length, and updates every user by the user's own
gradient. What is left is rounding, as the same sums are taken in another order.

Shapes: U users of a group, n of them learning, B rows of a forward.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from hydra_ray.config.lora import LoraConfig
from hydra_ray.core.hashing import stable_seed
from hydra_ray.errors import UserError
from hydra_ray.models.encoder import batches_by_length
from hydra_ray.models.lora.decoder import Decoder
from hydra_ray.models.lora.shape import LoraShape, LoraWeights, shape_of, stack, unstack
from hydra_ray.models.lora.stacked import StackedLora, on_device
from hydra_ray.training.user_lora.gradients import StepGradients, StepRow
from hydra_ray.training.user_lora.losses import RowBatch, row_losses
from hydra_ray.training.user_lora.plan import UserPlan, plan_users
from hydra_ray.training.user_lora.rows import TokenRow, UserRows
from hydra_ray.training.user_lora.stacked_adamw import StackedAdamW
from hydra_ray.utils.device import CPU, explained_out_of_memory

TASK = "task"
"""Whose LoRA it is that all training users' rows make."""


@dataclass(frozen=True, slots=True)
class TrainedLora:
    """One user's result.

    Attributes:
        user_id: Whose.
        weights: On the CPU; None: the base serves the user, who has no rows or none of whose epochs beat it.
        rows, held_out: Rows learned and held out.
        epoch: The epoch that is kept; 0: none.
        loss_before, loss_after: Of the base and of what is kept on the held-out rows, nats a learned token; None where
            none are held out.
        train_loss: Of the last epoch, nats a learned token, the mean over its steps; None without rows.
    """

    user_id: str
    weights: LoraWeights | None
    rows: int
    held_out: int
    epoch: int
    loss_before: float | None = None
    loss_after: float | None = None
    train_loss: float | None = None


@dataclass(frozen=True, slots=True)
class LoraProgress:
    """How far a training is: users done of all, and the mean loss of the last step's users, nats a learned token."""

    done: int
    users: int
    loss: float


Progress = Callable[[LoraProgress], None]


def train_users(
    base: Decoder, users: Sequence[UserRows], config: LoraConfig, seed: int, progress: Progress | None = None
) -> list[TrainedLora]:
    """Every user's LoRA, in order. Users with as many steps are trained together, `config.batch_users` at a time.

    Raises:
        UserError: The base lacks a target layer, `config.max_tokens` is more than it reads, or a loss or a weight is
            not finite: the user is named, and nothing of that group is kept.
    """
    if base.longest is not None and any(len(row.ids) > base.longest for user in users for row in user.rows):
        raise UserError(f"lora.max_tokens={config.max_tokens}: the base reads {base.longest} tokens at most: set "
                        f"lora.max_tokens={base.longest} or less")  # fmt: skip
    shape = shape_of(base.model, config.rank, config.alpha, config.targets)
    plans = plan_users(users, config, seed)
    found = {plan.user_id: TrainedLora(plan.user_id, None, 0, 0, 0) for plan in plans if not plan.learned}
    learning = sorted((plan for plan in plans if plan.learned), key=lambda plan: -plan.steps)
    for start in range(0, len(learning), config.batch_users):
        group = learning[start : start + config.batch_users]
        with explained_out_of_memory(partial(_no_memory, base, group, config)):
            for step_loss in _Group(base, shape, group, config, seed).train(found):
                if progress:
                    progress(LoraProgress(len(found), len(plans), step_loss))
    return [found[plan.user_id] for plan in plans]


def train_task(
    base: Decoder,
    rows: Sequence[TokenRow],
    held_out: Sequence[TokenRow],
    config: LoraConfig,
    seed: int,
    progress: Progress | None = None,
) -> TrainedLora:
    """One LoRA from training users' rows. held_out: other users', which choose the epoch; there may be none."""
    users = [UserRows(TASK, tuple(rows), tuple(held_out))]
    return train_users(base, users, config.for_task(), seed, progress)[0]


def _no_memory(base: Decoder, group: Sequence[UserPlan], config: LoraConfig) -> str:
    return (
        f"lora: out of memory on {base.device} with {len(group)} users at once: lower lora.forward_tokens (now "
        f"{config.forward_tokens}) or lora.batch_users (now {config.batch_users})"
    )


class _Group:
    """Users trained together, those with most steps first, so that the users who still learn are always the first."""

    def __init__(
        self, base: Decoder, shape: LoraShape, plans: Sequence[UserPlan], config: LoraConfig, seed: int
    ) -> None:
        self._base, self._plans, self._config, self._seed = base, plans, config, seed
        initial = stack([shape.initial(seed, plan.user_id) for plan in plans])
        self._lora = StackedLora(base.model, shape, on_device(initial, base.device), config.dropout)
        self._adamw = StackedAdamW(self._lora.weights, config.lr, config.weight_decay, config.clip)
        self._gradients = StepGradients(base, self._lora, config.forward_tokens)
        self._before: list[float | None] = [None] * len(plans)
        self._best: list[tuple[int, float | None, LoraWeights | None]] = [(0, None, None)] * len(plans)
        self._epoch_loss = [0.0] * len(plans)

    def train(self, found: dict[str, TrainedLora]) -> Iterator[float]:
        """Adds each user to `found` when the user is done; yields the mean loss of each step."""
        with self._lora:
            self._measure_base()
            for step in range(self._plans[0].steps):
                learning = sum(plan.steps > step for plan in self._plans)
                loss_n = self._step(step, learning)
                for user in range(learning):
                    self._after_step(user, step, float(loss_n[user]))
                self._end_epochs(step, learning)
                for user, plan in enumerate(self._plans[:learning]):
                    if plan.steps == step + 1:
                        found[plan.user_id] = self._result(user)
                yield float(loss_n.mean())

    def _step(self, step: int, learning: int) -> Tensor:
        """One step of the first users; returns each one's loss, nats a learned token, on the CPU [n]."""
        rows: list[StepRow] = []
        for user, plan in enumerate(self._plans[:learning]):
            rows += [StepRow(user, plan.learned[place], self._key(plan, step, place)) for place in plan.batch(step)]
        self._adamw.zero_grad()
        loss_n = self._gradients.add(rows, learning).to(CPU)
        self._refuse_nonfinite(torch.isfinite(loss_n), f"the loss in step {step}")
        rate_n = torch.tensor([plan.rate(step) for plan in self._plans[:learning]], device=self._base.device)
        self._adamw.step(rate_n)
        return loss_n

    def _key(self, plan: UserPlan, step: int, place: int) -> int | None:
        """A row's number for dropout."""
        if not self._config.dropout:
            return None
        return stable_seed("lora dropout", self._seed, plan.user_id, step, place)

    def _after_step(self, user: int, step: int, loss: float) -> None:
        plan = self._plans[user]
        if step % plan.steps_of_epoch == 0:
            self._epoch_loss[user] = 0.0
        self._epoch_loss[user] += loss / plan.steps_of_epoch

    # held-out rows

    def _measure_base(self) -> None:
        users = [user for user, plan in enumerate(self._plans) if plan.held_out]
        for user, loss in self._held_out(users, of_base=True).items():
            self._before[user] = loss
            self._best[user] = (0, loss, None)

    def _end_epochs(self, step: int, learning: int) -> None:
        """Keeps the weights of users whose epoch ended and is their best so far."""
        ended = {user: epoch for user, plan in enumerate(self._plans[:learning])
                 if (epoch := plan.ended_epoch(step)) is not None}  # fmt: skip
        losses = self._held_out([user for user in ended if self._plans[user].held_out], of_base=False)
        for user, loss in losses.items():
            best = self._best[user][1]
            if best is None or loss < best:
                self._best[user] = (ended[user], loss, on_device(unstack(self._lora.weights, user), CPU))

    @torch.no_grad()
    def _held_out(self, users: Sequence[int], *, of_base: bool) -> dict[int, float]:
        """Users' mean losses on their held-out rows, nats a learned token."""
        rows = [(user, row) for user in users for row in self._plans[user].held_out]
        sums = dict.fromkeys(users, 0.0)
        for part in batches_by_length([len(row.ids) for _, row in rows], self._config.forward_tokens):
            user_B = torch.tensor([rows[i][0] for i in part], device=self._base.device)
            batch = RowBatch.of([rows[i][1] for i in part], self._base.device)
            with nullcontext() if of_base else self._lora.of_users(user_B):
                loss_B = row_losses(self._base.model, batch)
            for i, loss in zip(part, loss_B.tolist(), strict=True):
                sums[rows[i][0]] += loss
        return {user: total / sum(row.learned for row in self._plans[user].held_out) for user, total in sums.items()}

    # results

    def _result(self, user: int) -> TrainedLora:
        plan = self._plans[user]
        epoch, after, weights = self._best[user]
        if not plan.held_out:
            epoch, weights = plan.epochs, on_device(unstack(self._lora.weights, user), CPU)
        finite = all(bool(torch.isfinite(value).all()) for value in (weights or {}).values())
        self._refuse_nonfinite(torch.tensor([True] * user + [finite]), "the trained weights")
        return TrainedLora(
            plan.user_id, weights, len(plan.learned), len(plan.held_out), epoch, self._before[user], after,
            self._epoch_loss[user],
        )  # fmt: skip

    def _refuse_nonfinite(self, finite_n: Tensor, what: str) -> None:
        bad = (~finite_n).nonzero().flatten().tolist()
        if bad:
            more = f" (and of {len(bad) - 1} more)" if len(bad) > 1 else ""
            raise UserError(f"lora: {what} of user {self._plans[bad[0]].user_id!r}{more} is NaN or infinite; lower "
                            "lora.lr, or look at this user's rows and the base's weights")  # fmt: skip
