"""Rows that a user's own answers label."""

from hydra_ray.core.labeling import agreement_rows, own_answer_rows
from hydra_ray.core.tasks import load_task
from hydra_ray.core.types import HistoryItem, User

ITEMS = tuple(HistoryItem(str(i), f"text {i}", f"text {i}", f"{i % 3}", f"2020-01-0{i + 1}") for i in range(6))


def test_agreement_is_equal_answers_and_own_answers_beat_others() -> None:
    lone = User("u", "test", ITEMS)
    for row in agreement_rows(load_task("lamp_3"), lone, 6, 10, 0):
        answers = {i.text: i.answer for i in ITEMS}
        assert list(row.known) == [float(answers[t] == row.gold) for t in row.candidates]
    for row in own_answer_rows(load_task("lamp_3"), lone, 6, 0):
        assert row.candidates[0] == row.gold
        assert row.known == (1.0,) + (0.0,) * (len(row.candidates) - 1)
        assert len(set(row.candidates)) == len(row.candidates)
    assert own_answer_rows(load_task("lamp_4"), lone, 6, 0) == []


def test_a_record_whose_answer_is_no_label_teaches_no_answer() -> None:
    items = tuple(HistoryItem(str(i), "t", "t", answer) for i, answer in enumerate(("great", "3", "5")))
    rows = own_answer_rows(load_task("lamp_3"), User("u", "test", items), 6, 0)
    assert {row.gold for row in rows} == {"3", "5"}
    assert "great" not in {text for row in rows for text in row.candidates}
