"""Which lists are learned from, and which choose."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from hydra_ray.core.rewards import RewardedList
from hydra_ray.errors import UserError
from hydra_ray.training.retriever.lists import read_lists, split_lists, write_lists


def one(user: str, *rewards: float) -> RewardedList:
    return RewardedList(user, f"query of {user}", tuple(f"item {i}" for i in range(len(rewards))), rewards)


LISTS = [one(f"u{i}", 1, 0) for i in range(10)] + [one(f"u{i}", 1, 1, 1) for i in range(12)]


def test_no_user_is_in_both_parts() -> None:
    split = split_lists("r", LISTS, 0.2, 0, equal_ones=False)
    held_out = {row.user_id for row in split.held_out}
    assert len(held_out) == len(split.held_out) == 2
    assert sorted(row.user_id for row in split.training) == sorted({f"u{i}" for i in range(10)} - held_out)
    assert split_lists("r", LISTS[::-1], 0.2, 0, equal_ones=False).held_out == split.held_out[::-1]
    assert {row.user_id for row in split_lists("r", LISTS, 0.2, 1, equal_ones=False).held_out} != held_out


def test_equal_rewards_are_learned_from_where_that_is_wanted_and_never_choose() -> None:
    split = split_lists("r", LISTS, 0.2, 0, equal_ones=True)
    assert len(split.training) == 8 + 10
    assert all(row.teaches for row in split.held_out)


def test_the_file_keeps_everything(tmp_path: Path) -> None:
    split = split_lists("r", LISTS, 0.2, 0, equal_ones=False)
    write_lists(split, tmp_path / "lists")
    assert read_lists(tmp_path / "lists") == split
    missing = replace(split, training=(one("u", math.nan, 1),))
    write_lists(missing, tmp_path / "lists")
    assert math.isnan(read_lists(tmp_path / "lists").training[0].rewards[0])


def test_nothing_to_learn_from_is_one_line() -> None:
    with pytest.raises(UserError, match=r"^r: the LLM has answered no training query after single history items"):
        split_lists("r", [], 0.2, 0, equal_ones=False)
    with pytest.raises(
        UserError, match=r"^r: 1 of 2 training users have a query that the LLM answers better after one"
    ):
        split_lists("r", [one("a", 1, 1), one("b", 1, 0)], 0.2, 0, equal_ones=True)
