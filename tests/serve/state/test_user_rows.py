"""Rows that notice a letter that has changed, or another user's item."""

import pytest

from hydra_ray.core.types import HistoryItem
from hydra_ray.inference.types import UserState
from hydra_ray.serve.state.user_rows import About, BrokenRowError, UserRow, highest, item_row, items_from, items_of

ITEMS = [HistoryItem("a", "text ü", "text ü", "5", "2020"), HistoryItem("b", "text", "title text", "")]
USER = UserRow(7, "acme\x1fann", 3, UserState(2, 5, {"reranker": 4}, "done", 5, "fitted"))
ROWS = [item_row(USER, i, item) for i, item in enumerate(ITEMS)]


def changed(row, place, value):  # type: ignore[no-untyped-def]
    return (*row[:place], value, *row[place + 1 :])


def test_rows_come_back() -> None:
    about = About(3, 8, 9, {"adapter": 2}, 1, 1)
    assert About.of(about.row()) == about
    assert UserRow.of(USER.row()) == USER
    assert items_of(USER, ROWS) == ITEMS
    assert items_from(USER, 1, ROWS[1:]) == ITEMS[1:]


@pytest.mark.parametrize(
    ("place", "value"), [(1, "A"), (2, "text u"), (2, b"text"), (3, "corpus"), (4, None), (5, "2021"), (6, 0)]
)
def test_a_changed_value_is_noticed(place: int, value: object) -> None:
    with pytest.raises(BrokenRowError, match="checksum"):
        items_of(USER, [changed(ROWS[0], place, value), ROWS[1]])


def test_a_missing_item_and_another_users_are_noticed() -> None:
    other = UserRow(7, "acme\x1fbob", 3, USER.state)
    with pytest.raises(BrokenRowError, match="1 items where 2 were written"):
        items_of(USER, ROWS[:1])
    with pytest.raises(BrokenRowError, match="an item is missing"):
        items_of(USER, ROWS[1:])
    with pytest.raises(BrokenRowError, match="checksum"):
        items_of(other, ROWS)
    with pytest.raises(BrokenRowError, match="checksum"):
        UserRow.of(changed(USER.row(), 1, "acme\x1fbob"))


def test_the_highest_version_of_each_component() -> None:
    assert highest({"reranker": 4}, {"reranker": 2, "adapter": 1}, {}) == {"reranker": 4, "adapter": 1}
