"""Which of a user's rows become questions, and what each question sees."""

from pathlib import Path

from hydra_ray.config import TabularConfig
from hydra_ray.data.holdout import HeldOut, with_questions
from tests.data.files import write
from tests.data.own_rows import ingest, lines, row


def test_items_of_the_questions_day_are_in_no_history(tmp_path: Path) -> None:
    days = [1, 2, 3, 4, 4, 4]
    rows = [row("u", day, item_id=f"i{n}") for n, day in enumerate(days)]
    write(tmp_path / "a.jsonl", lines(rows))
    done = ingest(tmp_path)
    assert [i.item_id for i in done.users["u"].items] == ["i0", "i1", "i2"]
    assert [(q.question_id, q.history) for q in done.users["u"].questions] == [("i4", (0, 1, 2)), ("i5", (0, 1, 2))]
    assert [(r.record, r.reason) for r in done.rejects] == [("u/i3", "not_older")]


def test_moments_with_offsets_are_compared_in_utc(tmp_path: Path) -> None:
    dates = {
        "first": "2021-03-08T10:00:00+02:00",
        "second": "2021-03-08T09:30:00Z",
        "asked": "2021-03-10T01:00:00+09:00",  # 2021-03-09 16:00 UTC
        "late": "2021-03-09T23:30:00-08:00",  # 2021-03-10 07:30 UTC
    }
    write(tmp_path / "a.jsonl", lines([row("u", 1, item_id=key, date=date) for key, date in dates.items()]))
    user = ingest(tmp_path, {"min_items": 2}).users["u"]
    assert [(q.question_id, q.date, [i.item_id for i in user.history_of(q)]) for q in user.questions] == [
        ("asked", "2021-03-09T16:00:00", ["first", "second"]),
        ("late", "2021-03-10T07:30:00", ["first", "second", "asked"]),
    ]


def test_an_item_of_the_day_does_not_serve_a_question_of_a_moment(tmp_path: Path) -> None:
    dates = ["2021-03-07", "2021-03-08", "2021-03", "2021-03-09", "2021-03-09T16:00"]
    write(tmp_path / "a.jsonl", lines([row("u", 1, item_id=f"i{n}", date=d) for n, d in enumerate(dates)]))
    done = ingest(tmp_path, {"questions": 1, "min_items": 2})
    user = done.users["u"]
    assert [(q.question_id, [i.item_id for i in user.history_of(q)]) for q in user.questions] == [("i4", ["i0", "i1"])]
    assert {(r.record, r.reason) for r in done.rejects} == {("u/i2", "not_older"), ("u/i3", "not_older")}


def test_too_many_items_of_one_day_make_no_question(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines([row("u", 1, item_id=f"i{n}") for n in range(9)]))
    user = ingest(tmp_path).users["u"]
    assert (len(user.items), user.questions) == (9, ())


def test_no_question_sees_itself_or_anything_newer(tmp_path: Path) -> None:
    rows = [row("u", 1 + (n * 7) % 5, item_id=f"i{n}") for n in range(30)]
    write(tmp_path / "a.jsonl", lines(rows))
    user = ingest(tmp_path, {"questions": 6}).users["u"]
    assert len(user.questions) == 6
    for question in user.questions:
        history = user.history_of(question)
        assert all(i.date < question.date and i.item_id != question.question_id for i in history)


def test_with_questions_leaves_an_empty_user_alone() -> None:
    from hydra_ray.core.types import User

    assert with_questions(User("u", "train"), TabularConfig()) == HeldOut(User("u", "train"), "too_few_items")
