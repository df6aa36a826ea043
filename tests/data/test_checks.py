"""An ingest says what it kept, and stops where going on would be wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_ray.config import Config
from hydra_ray.core.tasks import Task
from hydra_ray.data.checks import summary
from hydra_ray.data.ingest import ingest_in_process
from hydra_ray.errors import UserError
from tests.data.files import NOTES, RATING, golds, item, lamp_root, question, write
from tests.data.own_rows import lines, row


def ingest(root: Path, task: Task = NOTES, own: dict[str, Any] | None = None, **data: Any) -> dict[str, Any]:
    own = {"questions": 2, "min_items": 3, **(own or {})}
    whole = {"source": "tabular", "root": str(root), "buckets": 3, "tabular": own, **data}
    return ingest_in_process(Config.model_validate({"data": whole}), task, root, root.parent / "out")


def refused(root: Path, *args: Any, **data: Any) -> str:
    with pytest.raises(UserError) as caught:
        ingest(root, *args, **data)
    assert not (root.parent / "out" / "spill").exists()
    return str(caught.value)


def own_root(folder: Path, rows: list[Any]) -> Path:
    write(folder / "src" / "a.jsonl", lines(rows))
    return folder / "src"


GOOD = [row("u", day) for day in range(1, 10)]


def test_rows_of_one_day_are_asked_in_order_of_time(tmp_path: Path) -> None:
    rows = [row(f"u{n % 8}", 1, item_id=f"i{n}", date=f"2020-01-01T{n // 60:02d}:{n % 60:02d}:00Z") for n in range(528)]
    counts = ingest(own_root(tmp_path, rows[::-1]))
    assert sum(counts["questions"].values()) == 16
    assert counts["rejects"] == counts["warnings"] == {}


def test_unread_dates_stop_the_ingest(tmp_path: Path) -> None:
    root = own_root(tmp_path, [{**r, "date": f"13/{n + 1:02d}/2024"} for n, r in enumerate(GOOD)])
    assert refused(root) == (
        f"{root}/a.jsonl: 9 of 9 dates (date) cannot be read: '13/01/2024' (a.jsonl 1:u-1), '13/02/2024' "
        "(a.jsonl 2:u-2), '13/03/2024' (a.jsonl 3:u-3): give their form as data.tabular.date_format (such as %d/%m/%Y)"
        ", mend them, or set data.tabular.bad_dates=undated to go on without them"
    )
    assert "they have another form than data.tabular.date_format='%Y'" in refused(root, own={"date_format": "%Y"})
    assert ingest(root, own={"date_format": "%d/%m/%Y"})["warnings"] == {}
    assert ingest(root, own={"bad_dates": "undated"})["warnings"] == {"malformed_date": 9}


def test_one_unread_date_in_a_hundred_is_a_warning(tmp_path: Path) -> None:
    rows = [row("u", 1, item_id=f"i{n}", date=f"2020-01-01T00:{n // 60:02d}:{n % 60:02d}") for n in range(99)]
    counts = ingest(own_root(tmp_path, [*rows, row("u", 1, date="soon")]))
    assert counts["warnings"] == {"malformed_date": 1, "undated_item": 1}
    assert "2 of 101 dates" in refused(own_root(tmp_path, [*rows, row("u", 1, date="soon"), row("v", 1, date="?")]))


def test_no_questions_is_an_error_that_says_why(tmp_path: Path) -> None:
    rows = [row("u", 1, item_id=f"i{n}") for n in range(9)] + [row("v", 1), row("w", 1)]
    root = own_root(tmp_path, rows)
    assert refused(root) == (
        f"{root}: no questions: none of 3 users has tabular.questions=2 items with tabular.min_items=3 older ones each "
        "(2 with too few items, 1 with too few items that are older than their newest (others share its date, or have "
        "none)): lower either, give more rows a user, or dates with a time of day, or set data.max_rejects=1 to go on"
    )
    assert ingest(root, max_rejects=1)["users"] == {"train": 3, "test": 0}


def test_users_without_a_single_date(tmp_path: Path) -> None:
    root = own_root(tmp_path, [{**r, "date": None} for r in GOOD])
    wanted = (
        "none of 1 users has tabular.questions=2 items with tabular.min_items=3 older ones each (1 without a single "
    )
    assert wanted + "date (data.tabular.date_field=null: the order of the rows is that of time))" in refused(root)
    assert sum(ingest(root, own={"date_field": None})["questions"].values()) == 2
    assert sum(ingest(root, own={"bad_dates": "undated"})["questions"].values()) == 2


def test_many_rejects_are_an_error_that_says_why(tmp_path: Path) -> None:
    rows = [*GOOD, *(row("u", day, tag="green") for day in (10, 11)), row(None, 3)]
    root = own_root(tmp_path, rows)
    assert refused(root) == (
        f"{root}: 3 of 12 items (25%) cannot be used: 2 x answer_not_a_label (a history item whose answer is none of "
        "the task's labels), e.g. a.jsonl 10:u-10: tag: 'green'; 1 x missing_user (a row without user id), e.g. "
        f"a.jsonl 12: {excerpt_of(rows[-1])}: mend the data or the task, or set data.max_rejects=0.25"
    )
    assert ingest(root, max_rejects=0.25)["rejects"] == {"answer_not_a_label": 2, "missing_user": 1}


def excerpt_of(raw: dict[str, Any]) -> str:
    return repr(raw)[:100]


def test_many_rejected_questions_are_an_error(tmp_path: Path) -> None:
    train = [question(str(n), [item(f"{n}-{k}") for k in range(20)]) for n in range(10)]
    answers = golds({str(n): "5" if n < 6 else "no star" for n in range(10)})
    root = lamp_root(tmp_path / "src", train, answers)
    text = refused(root, RATING, source="lamp")
    assert text.startswith(f"{root}: 4 of 11 questions (36%) cannot be used: 4 x unusable_gold (")
    assert text.endswith(": mend the data or the task, or set data.max_rejects=0.37")
    assert ingest(root, RATING, source="lamp", max_rejects=0.5)["questions"] == {"train": 6, "test": 1}


def test_what_an_ingest_says(tmp_path: Path) -> None:
    rows = [*GOOD, row("u", 1), row("u", 2, text="other"), row("v", 1), row("u", 10, date=None)]
    counts = ingest(own_root(tmp_path, rows))
    out = tmp_path / "out"
    users = counts["users"]
    assert summary(counts, out) == [
        f"{users['train']} train and {users['test']} test users ({counts['users_with_questions']['train']} and "
        f"{counts['users_with_questions']['test']} with questions), 10 items, {counts['questions']['train']} train and "
        f"{counts['questions']['test']} test questions",
        "users without questions: 1 with too few items",
        "not used: 1 x conflicting_item: an item with an id of an item with other content; the first in the order of "
        "the files stays, e.g. a.jsonl 11/u-2: other",
        "used with a warning: 1 x undated_item: kept, but neither asked nor seen by a question: it has no date, "
        "e.g. history u/u-10: no date that can be read",
        "1 x the same item again: it counts once",
        f"all rejects and warnings: {out / 'rejects'}",
    ]
    clean = ingest(own_root(tmp_path / "clean", GOOD))
    assert summary(clean, tmp_path / "clean" / "out")[1:] == ["no rejects"]


def test_what_an_earlier_ingest_left_is_gone(tmp_path: Path) -> None:
    refused(own_root(tmp_path, [*GOOD, *(row("u", day, tag="green") for day in range(10, 20))]))
    counts = ingest(own_root(tmp_path, GOOD))
    assert json.loads((tmp_path / "out" / "counts.json").read_text()) == counts
    assert list((tmp_path / "out" / "rejects").iterdir()) == []


WRITTEN = st.lists(
    st.tuples(
        st.integers(0, 4 * 86400 * 10**6),
        st.integers(-840, 840),
        st.sampled_from(["iso", "day", "month", "s", "ms", "us", "mail", "none", "unread"]),
    ),
    min_size=4,
    max_size=25,
)
MIDNIGHT_US = 1_583_020_800 * 10**6
"""2020-03-01: the moments of a test are around the change of a month."""


def written(moment_us: int, minutes: int, form: str) -> Any:
    import datetime

    zone = datetime.timezone(datetime.timedelta(minutes=minutes))
    at = datetime.datetime(2020, 3, 1, tzinfo=datetime.UTC) + datetime.timedelta(microseconds=moment_us)
    forms: dict[str, Any] = {
        "iso": at.astimezone(zone).isoformat(),
        "day": at.strftime("%Y-%m-%d"),
        "month": at.strftime("%Y-%m"),
        "s": (MIDNIGHT_US + moment_us) // 10**6,
        "ms": str((MIDNIGHT_US + moment_us) // 10**3),
        "us": MIDNIGHT_US + moment_us,
        "mail": at.astimezone(zone).strftime("%a, %d %b %Y %H:%M:%S %z"),
        "none": None,
        "unread": "some day",
    }
    return forms[form]


@settings(max_examples=40, deadline=None)
@given(WRITTEN, st.integers(1, 3))
def test_no_later_item_ever_serves_an_earlier_question(rows: list[tuple[int, int, str]], questions: int) -> None:
    import tempfile

    from tests.data.files import ingest_pure

    shifted = [(moment - 2 * 86400 * 10**6, minutes, form) for moment, minutes, form in rows]
    with tempfile.TemporaryDirectory() as folder:
        records = [row("u", 1, item_id=f"i{n}", date=written(*r)) for n, r in enumerate(shifted)]
        write(Path(folder) / "a.jsonl", lines(records))
        own = {"questions": questions, "min_items": 1}
        done = ingest_pure(Path(folder), NOTES, Path(folder) / "out", partitions=1, source="tabular", tabular=own)
    user = done.users["u"]
    true = {f"i{n}": moment for n, (moment, _, _) in enumerate(shifted)}
    for query in user.questions:
        assert query.date
        for seen in user.history_of(query):
            assert true[seen.item_id] < true[query.question_id]


def test_a_shorter_history_and_a_date_of_questions_leave_out_the_rest_with_its_reason(tmp_path: Path) -> None:
    """Nine days, of which the last two are asked."""
    root = own_root(tmp_path, GOOD)
    counts = ingest(root, max_history=4)
    assert (sum(counts["items"].values()), counts["rejects"]) == (5, {"old_item": 3})
    counts = ingest(root, questions_after="2020-01-09")
    assert sum(counts["questions"].values()) == 1
    assert counts["rejects"] == {"early_question": 1}
    counts = ingest(root, questions_after="2020-01-05", max_history=3)
    assert (sum(counts["items"].values()), sum(counts["questions"].values())) == (3, 2)
    assert counts["rejects"] == {"late_item": 4, "old_item": 1}
    message = refused(root, questions_after="2021-01-01")
    assert "1 without a question from after data.questions_after" in message
    assert "give an earlier data.questions_after, or set data.max_rejects=1" in message
    assert "with too few items that are older" in refused(root, questions_after="2020-01-03")
