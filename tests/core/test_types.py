"""Users: what may be learned from, and their rows."""

from hydra_ray.core.types import HistoryItem, Question, User, user_from_row, user_to_row

ITEMS = tuple(HistoryItem(str(i), f"text {i}", f"title text {i}", "5", f"2020-01-0{i + 1}") for i in range(4))
QUESTIONS = (Question("q1", "early", "1", (0, 1)), Question("q2", "late", None, (3, 1, 0), "2020-01-09", "Head: "))
USER = User("u", "test", ITEMS, QUESTIONS)


def test_a_question_sees_its_own_history() -> None:
    assert [item.item_id for item in USER.history_of(QUESTIONS[1])] == ["3", "1", "0"]


def test_only_what_every_question_sees_may_be_learned_from() -> None:
    assert [item.item_id for item in USER.safe_history()] == ["0", "1"]
    assert User("u", "train", ITEMS).safe_history() == list(ITEMS)


def test_rows_come_back() -> None:
    row = user_to_row(USER, 7)
    assert row["bucket"] == 7
    assert user_from_row(row) == USER
