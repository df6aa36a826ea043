"""Nothing vanishes: whatever the records are, each one is in the result or in the rejects."""

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hydra_ray.core.tasks import Task, load_task
from tests.data.files import NOTES, RATING, Ingested, golds, ingest_pure, item, lamp_root, question, write
from tests.data.own_rows import lines, row

# users, questions and items, train and test
EXPECTED = {
    "product_rating": ("lamp_3", (253, 136), (455, 254), (1968, 1058)),
    "news_categorization": ("lamp_2n", (39, 20), (301, 143), (3166, 1532)),
    "news_headline": ("lamp_4", (46, 22), (352, 159), (4389, 2149)),
}

IDS = st.sampled_from(["a", "b", "c", 4, "", None])
DATES = st.sampled_from([None, "", "2020", "2020-02", "2021-01-01", "soon", 7.5])
ITEMS = st.one_of(
    st.builds(
        item,
        IDS,
        st.sampled_from(["one", "two", " "]),
        st.sampled_from(["5", 4, "5.0", "9", None, ""]),
        DATES,
    ),
    st.sampled_from(["no object", 3, None]),
)
QUESTION_IDS = st.sampled_from([f"q{i}" for i in range(8)])
QUESTIONS = st.lists(
    st.tuples(
        QUESTION_IDS,
        st.lists(ITEMS, max_size=4),
        st.sampled_from(["fine", "other", ""]),
        st.sampled_from(["u1", "u2", None]),
        DATES,
    ),
    max_size=8,
)
GOLDS = st.dictionaries(QUESTION_IDS, st.sampled_from(["5", 1, "x", None]), max_size=8)
BROKEN = st.lists(st.sampled_from(["no object", {"id": "q1"}, {"id": None, "input": "a", "profile": []}]), max_size=2)
ITEM_REASONS = {"malformed_item", "missing_answer", "answer_not_a_label", "empty_text", "conflicting_item"}
QUESTION_REASONS = {"empty_question", "question_without_gold", "unusable_gold", "question_of_other_split"}
QUICK = settings(max_examples=40, suppress_health_check=list(HealthCheck))


def reasons_of(done: Ingested) -> Counter[str]:
    counted = Counter(r.reason for r in done.rejects)
    assert counted == Counter({**done.counts["rejects"], **done.counts["warnings"]})
    return counted


def kept(done: Ingested) -> tuple[int, int]:
    questions = sum(len(u.questions) for u in done.users.values())
    items = sum(len(u.items) for u in done.users.values())
    assert questions == sum(done.counts["questions"].values())
    assert items == sum(done.counts["items"].values())
    assert len(done.users) == sum(done.counts["users"].values())
    return questions, items


@QUICK
@given(QUESTIONS, QUESTIONS, GOLDS, BROKEN)
def test_lamp(train: list[Any], dev: list[Any], outputs: dict[str, Any], broken: list[Any]) -> None:
    def record(key: str, profile: list[Any], text: str, user: Any, date: Any) -> dict[str, Any]:
        return question(key, profile, text, user_id=user, date=date)

    sound = [question(f"sound{i}", []) for i in range(20)]  # so that enough questions have gold answers
    train_records = sound + [record(*t) for t in train] + broken
    dev_records = [question("sound", [])] + [record(*t) for t in dev]
    outputs = {**outputs, **{q["id"]: "5" for q in sound}}
    with tempfile.TemporaryDirectory() as folder:
        root = lamp_root(Path(folder), train_records, golds(outputs), dev_records, False)
        done = ingest_pure(root, RATING, Path(folder) / "out")
    reasons = reasons_of(done)
    questions, items = kept(done)
    out_of_questions = sum(reasons[r] for r in QUESTION_REASONS) + reasons["duplicate_question"]
    assert questions + out_of_questions + reasons["malformed_record"] == len(train_records) + len(dev_records)
    assert reasons["malformed_record"] == len(broken)
    occurrences = items + done.counts["repeats"] + sum(reasons[r] for r in ITEM_REASONS)
    assert occurrences == sum(len(profile) for records in (train, dev) for profile in _of_first(records))
    assert reasons["gold_without_question"] == len(
        set(outputs) - {r["id"] for r in train_records if "id" in dict_of(r)}
    )


def _of_first(records: list[Any]) -> list[list[Any]]:
    """The profiles of the records that are the first of their id: a later one is set aside as a whole."""
    first: dict[str, list[Any]] = {}
    for key, profile, *_ in records:
        first.setdefault(key, profile)
    return list(first.values())


def dict_of(record: Any) -> dict[str, Any]:
    return record if isinstance(record, dict) and isinstance(record.get("profile"), list) else {}


OWN_ROWS = st.lists(
    st.one_of(
        st.builds(
            lambda user, day, key, text, tag, date: row(
                user, day, item_id=key, text=text, tag=tag, **({} if date == "own" else {"date": date})
            ),
            st.sampled_from(["u", "v", None, 7]),
            st.integers(1, 9),
            st.sampled_from([*"abcdefgh", None]),
            st.sampled_from(["one", ""]),
            st.sampled_from(["red", "Blue Sky", "green", None]),
            st.sampled_from(["own", "own", None, "soon", "2020"]),
        ),
        st.just([1]),
    ),
    max_size=30,
)


@QUICK
@given(OWN_ROWS, st.integers(1, 3), st.integers(1, 4))
def test_own(rows: list[Any], questions: int, min_items: int) -> None:
    rows = [row("first", 1), *rows]
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "a.jsonl", lines(rows))
        own = {"questions": questions, "min_items": min_items}
        done = ingest_pure(Path(folder), NOTES, Path(folder) / "out", source="tabular", tabular=own)
    reasons = reasons_of(done)
    kept(done)
    shown = 0
    for user in done.users.values():
        items = {i.item_id for i in user.items}
        shown += len(items | {q.question_id for q in user.questions})
        assert len(user.questions) in (0, questions)
        assert all(len(q.history) >= min_items for q in user.questions)
        assert all(i.item_id != q.question_id for q in user.questions for i in user.history_of(q))
    set_aside = sum(reasons[r] for r in ITEM_REASONS) + reasons["missing_user"] + reasons["not_older"]
    assert shown + done.counts["repeats"] + set_aside == len(rows)


def pairs(counts: dict[str, dict[str, int]], *names: str) -> tuple[tuple[int, int], ...]:
    return tuple((counts[name]["train"], counts[name]["test"]) for name in names)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_lamp_sets_are_read_whole(real_data: Path, tmp_path: Path, name: str) -> None:
    task, *expected = EXPECTED[name]
    done = ingest_pure(real_data / name, load_task(task), tmp_path)
    assert done.rejects == []
    assert pairs(done.counts, "users", "questions", "items") == tuple(expected)
    for user in done.users.values():
        dates = [i.date for i in user.items]
        assert dates == sorted(dates)
        assert all(i.date <= q.date for q in user.questions for i in user.history_of(q))
        assert all(q.gold for q in user.questions)


def test_own_rows(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "news_sections"
    rows = [json.loads(line) for line in (folder / "histories.jsonl").open()]
    task = Task(
        name="sections",
        kind="classification",
        text_fields=("text",),
        corpus_fields=("title", "text"),
        answer_field="category",
        instruction="Give the section.",
        labels=tuple(sorted({row["category"] for row in rows})),
        primary_metric="accuracy",
    )
    done = ingest_pure(folder, task, tmp_path, source="tabular")
    assert pairs(done.counts, "users", "questions") == ((47, 21), (141, 63))
    shown = {(u.user_id, i.item_id) for u in done.users.values() for i in u.items}
    shown |= {(u.user_id, q.question_id) for u in done.users.values() for q in u.questions}
    assert len(shown) + len(done.rejects) == len(rows) == 6538
    for user in done.users.values():
        assert all(i.date < q.date for q in user.questions for i in user.history_of(q))
