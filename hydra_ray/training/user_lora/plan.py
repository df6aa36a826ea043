"""Which rows a user learns from in which step, and how fast. Pure; depends on the user alone.

A user's plan is that of the user trained alone: batches and rates follow from the user's id, rows and settings, not
from who else is trained.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from hydra_ray.config.lora import LoraConfig
from hydra_ray.core.hashing import stable_seed
from hydra_ray.training.user_lora.rows import TokenRow, UserRows


@dataclass(frozen=True, slots=True)
class UserPlan:
    """A user's course.

    Attributes:
        user_id: Whose.
        learned: The rows that are learned.
        held_out: The last rows, which choose the epoch; there may be none.
        batch_rows: Rows of a step at most.
        epochs: Passes over `learned`.
        warmup: Share of the steps.
        seed: Of the order of the rows.
    """

    user_id: str
    learned: tuple[TokenRow, ...]
    held_out: tuple[TokenRow, ...]
    batch_rows: int
    epochs: int
    warmup: float
    seed: int

    @property
    def steps_of_epoch(self) -> int:
        """Optimizer steps of one pass."""
        return -(-len(self.learned) // self.batch_rows)

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return self.epochs * self.steps_of_epoch

    def batch(self, step: int) -> list[int]:
        """Places in `learned` of a step's rows: each epoch draws another order and cuts it."""
        epoch, place = divmod(step, self.steps_of_epoch)
        generator = torch.Generator().manual_seed(stable_seed("lora order", self.seed, self.user_id, epoch))
        order: list[int] = torch.randperm(len(self.learned), generator=generator).tolist()
        return order[place * self.batch_rows : (place + 1) * self.batch_rows]

    def rate(self, step: int) -> float:
        """A step's share of the highest learning rate: from zero up during the warm-up, then linearly to zero.

        As Hugging Face's linear schedule, in which the very first step of a warm-up has the rate zero.
        """
        rising = math.ceil(self.steps * self.warmup)
        if step < rising:
            return step / rising
        return max(0.0, (self.steps - step) / max(1, self.steps - rising))

    def ended_epoch(self, step: int) -> int | None:
        """The epoch (1, 2, ...) that this step was the last of; None: of none."""
        epoch, place = divmod(step + 1, self.steps_of_epoch)
        return epoch if place == 0 else None


def plan_users(users: Sequence[UserRows], config: LoraConfig, seed: int) -> list[UserPlan]:
    """The plans of users, in order. At least one row of a user is learned, where there is one."""
    return [_plan(user, config, seed) for user in users]


def _plan(user: UserRows, config: LoraConfig, seed: int) -> UserPlan:
    count = math.ceil(len(user.rows) * config.holdout) if len(user.rows) > 1 and user.held_out is None else 0
    learned = len(user.rows) - count
    held_out = user.rows[learned:] if user.held_out is None else user.held_out
    return UserPlan(user.user_id, user.rows[:learned], held_out, config.batch_rows, config.epochs, config.warmup, seed)
