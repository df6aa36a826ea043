"""The real sets next to the repository, where they are."""

import json
from pathlib import Path

import pytest

from hydra_ray.core.tasks import Task, load_task
from tests.data.files import ingest_pure

# users, questions and items, train and test
EXPECTED = {
    "product_rating": ("lamp_3", (253, 136), (455, 254), (1968, 1058)),
    "news_categorization": ("lamp_2n", (39, 20), (301, 143), (3166, 1532)),
    "news_headline": ("lamp_4", (46, 22), (352, 159), (4389, 2149)),
}


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
