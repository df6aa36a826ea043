"""Whose own queries speak against their heads."""

import numpy as np
import pytest
import torch

from hydra_ray.config import FitConfig
from hydra_ray.models.heads import Deltas, Head, make_head
from hydra_ray.training.user_fit.guard import first_labels, worse_than_shared_head
from hydra_ray.training.user_fit.padded_users import PaddedUsers, pad_users
from hydra_ray.training.user_fit.solver import solve_heads

Queries = list[list[tuple[list[float], float]]]


def favouring(width: int = 3) -> Head:
    """A shared head that likes the first number."""
    head = make_head("linear", width, 8, 0.0)
    with torch.no_grad():
        head.out.weight.zero_()
        head.out.bias.zero_()
        head.out.weight[1, 0] = 4.0
    return head


def rows_of(queries: Queries, users: int = 1) -> PaddedUsers:
    """Queries of (encoding, label) rows, the same for every user."""
    z = np.array([x for query in queries for x, _ in query], np.float32)
    label = np.array([y for query in queries for _, y in query], np.float32)
    number = np.repeat(np.arange(len(queries)), [len(query) for query in queries])
    return pad_users([z] * users, [label] * users, [number] * users)


FIRST, SECOND = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
HABIT = [[(FIRST, 1.0), (SECOND, 0.0)]] * 4
TASTE = [[(FIRST, 0.0), (SECOND, 1.0)]] * 4


def towards(second: float, users: int = 1) -> Deltas:
    weight = torch.zeros(users, 3, 2)
    weight[:, 1, 1] = second
    return {"out_weight": weight, "out_bias": torch.zeros(users, 2)}


def test_the_label_of_each_querys_highest_row() -> None:
    rows = rows_of([[(FIRST, 0.0), (SECOND, 1.0)], [(FIRST, 1.0)], [(FIRST, 1.0), (SECOND, 0.0), (SECOND, 1.0)]])
    assert first_labels(rows, torch.tensor([[0.1, 0.2, -5.0, 0.0, 3.0, 2.0]])).tolist() == [[1.0, 1.0, 0.0]]
    some = rows.only(rows.query != 1)
    assert first_labels(some, torch.zeros(1, 6)).tolist() == [[0.0, 0.0, 1.0]]


@pytest.mark.parametrize(("queries", "against"), [(HABIT, True), (TASTE, False), (HABIT[:2], False), (HABIT[:3], True)])
def test_a_head_that_puts_wrong_rows_first_is_spoken_against(
    queries: list[list[tuple[list[float], float]]], against: bool
) -> None:
    head, rows = favouring(), rows_of(queries)
    seen: list[PaddedUsers] = []

    def refit(learned: PaddedUsers) -> Deltas:
        seen.append(learned)
        return towards(9.0)

    assert worse_than_shared_head(head, rows, 2, refit).tolist() == [against]
    # Every query is held out once, and nothing of it is learned from.
    assert [sorted({int(q) for q in part.query[part.mask > 0]}) for part in seen] == [
        [q for q in range(len(queries)) if q % 2 == 1], [q for q in range(len(queries)) if q % 2 == 0]
    ]  # fmt: skip


@pytest.mark.parametrize("needs_gain", [False, True])
def test_a_head_that_changes_nothing_is_enough_only_where_no_gain_is_needed(needs_gain: bool) -> None:
    head = favouring()
    found = worse_than_shared_head(head, rows_of(HABIT), 4, lambda _: towards(0.0), needs_gain=needs_gain)
    assert found.tolist() == [needs_gain]
    found = worse_than_shared_head(head, rows_of(TASTE), 4, lambda _: towards(9.0), needs_gain=needs_gain)
    assert found.tolist() == [False]


def test_the_guard_leaves_real_taste_and_takes_back_what_noise_has_taught() -> None:
    """Users whose labels follow the second number, and users whose labels are those of the shared head but for one
    query of many rows, which the others contradict."""
    head = favouring()
    taste = rows_of(TASTE * 2)
    # Early stopping holds out the third query alone here, and one query is never enough for it.
    odd = [HABIT[0], [(FIRST, 0.0), (SECOND, 1.0)] * 20, *HABIT]
    config = FitConfig(l2=1e-4, epochs=60, lr=0.3, early_stop_margin_se=100.0)
    free = config.model_copy(update={"guard": 0})
    kept = solve_heads(head, taste, {"l2": 1e-4}, config, "bce")
    assert not kept.guarded.any()
    assert torch.equal(
        kept.deltas["out_weight"], solve_heads(head, taste, {"l2": 1e-4}, free, "bce").deltas["out_weight"]
    )
    taken = solve_heads(head, rows_of(odd), {"l2": 1e-4}, config, "bce")
    assert (taken.guarded.tolist(), taken.kept_shared_head.tolist()) == ([True], [True])
    assert not any(value.any() for value in taken.deltas.values())
    assert solve_heads(head, rows_of(odd), {"l2": 1e-4}, free, "bce").deltas["out_weight"].any()
