"""Whose own queries speak against their heads."""

import pytest
import torch

from hydra_ray.models.heads import Deltas
from hydra_ray.training.user_fit.guard import first_labels, worse_than_shared_head
from hydra_ray.training.user_fit.padded_users import PaddedUsers
from tests.training.user_fit.taste import favouring, rows_of

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
