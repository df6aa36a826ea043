"""A user's batches and rates follow from the user alone."""

import torch
from transformers import get_linear_schedule_with_warmup

from hydra_ray.config.lora import LoraConfig
from hydra_ray.training.user_lora.plan import UserPlan, plan_users
from hydra_ray.training.user_lora.rows import TokenRow, UserRows

CONFIG = LoraConfig(batch_rows=4, epochs=3, warmup=0.2)


def plan_of(user_id: str, rows: int, config: LoraConfig = CONFIG, seed: int = 0) -> UserPlan:
    return plan_users([UserRows(user_id, tuple(TokenRow((i, 1), 1) for i in range(rows)))], config, seed)[0]


def test_every_row_once_an_epoch() -> None:
    plan = plan_of("a", 10)
    assert (plan.steps_of_epoch, plan.steps) == (3, 9)
    epochs = [[place for step in range(3 * e, 3 * e + 3) for place in plan.batch(step)] for e in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert [len(plan.batch(step)) for step in range(3)] == [4, 4, 2]
    assert [plan.ended_epoch(step) for step in range(9)] == [None, None, 1, None, None, 2, None, None, 3]


def test_the_order_is_the_users_own() -> None:
    assert plan_of("a", 10).batch(0) == plan_of("a", 10).batch(0)
    assert len({tuple(plan_of(user, 10, seed=seed).batch(0)) for user in "abc" for seed in (0, 1)}) == 6


def test_rates_are_hugging_faces() -> None:
    for rows, warmup in ((10, 0.2), (1, 0.1), (40, 0.0), (5, 1.0)):
        plan = plan_of("a", rows, CONFIG.model_copy(update={"warmup": warmup}))
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        rising = -int(-plan.steps * warmup // 1)
        schedule = get_linear_schedule_with_warmup(optimizer, rising, plan.steps)
        for step in range(plan.steps):
            assert plan.rate(step) == schedule.get_last_lr()[0]
            optimizer.step()
            schedule.step()


def test_the_last_rows_are_held_out() -> None:
    config = CONFIG.model_copy(update={"holdout": 0.25})
    plan = plan_of("a", 10, config)
    assert [row.ids[0] for row in plan.learned] == list(range(7))
    assert [row.ids[0] for row in plan.held_out] == [7, 8, 9]
    assert [(len(p.learned), len(p.held_out)) for p in (plan_of("a", n, config) for n in (0, 1, 2))] == [
        (0, 0), (1, 0), (1, 1),
    ]  # fmt: skip
