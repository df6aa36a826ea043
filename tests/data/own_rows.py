"""A user's own rows in every form, ingested without Ray, and what they must become."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from hydra_ray.errors import UserError
from tests.data.files import NOTES, Ingested, ingest_pure


def row(user_id: Any, day: int, **more: Any) -> dict[str, Any]:
    return {
        "user_id": user_id,
        "item_id": f"{user_id}-{day}",
        "title": "T",
        "text": f"text {day}",
        "tag": "Red",
        "date": f"2020-01-{day:02d}",
        **more,
    }


def lines(rows: list[Any]) -> str:
    return "".join(json.dumps(r) + "\n" for r in rows)


def ingest(root: Path, own: dict[str, Any] | None = None, task: Any = NOTES) -> Ingested:
    return ingest_pure(
        root, task, root / "out", source="tabular", tabular={"questions": 2, "min_items": 3, **(own or {})}
    )


def check(done: Ingested) -> None:
    user = done.users["u"]
    assert [i.item_id for i in user.items] == ["u-1", "u-2", "u-3", "u-4"]
    assert (user.items[0].corpus, user.items[0].answer) == ("T text 1", "red")
    assert [(q.question_id, q.text, q.gold, q.history, q.date) for q in user.questions] == [
        ("u-4", "text 4", "red", (0, 1, 2), "2020-01-04"),
        ("u-5", "text 5", "red", (0, 1, 2, 3), "2020-01-05"),
    ]
    short = done.users["short"]
    assert ([i.item_id for i in short.items], short.questions) == (["short-1", "short-2"], ())
    assert done.rejects == []


ROWS = [row("u", day) for day in (3, 1, 5, 2, 4)] + [row("short", day) for day in (1, 2)]


def table_of(rows: list[dict[str, Any]], delimiter: str = ",") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def without(rows: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [{key: value for key, value in r.items() if key != name} for r in rows]


def broken(tmp_path: Path, name: str, content: str | bytes, own: dict[str, Any] | None = None) -> str:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError) as caught:
        ingest(tmp_path, own)
    return str(caught.value).removeprefix(f"{tmp_path}/{name}: ")
