"""Fields of a row, nested ones too."""

import re
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hydra_ray.data.formats.fields import has_field, id_of, joined, lookup, made_id
from hydra_ray.errors import UserError
from tests.data.files import NOTES, RATING, ingest_pure, item, lamp_root, question, write
from tests.data.own_rows import ROWS, ingest, lines, without

Q = "train_questions.json"


def test_nested_fields_and_several_text_fields(tmp_path: Path) -> None:
    rows = [
        {**r, "ticket": {"subject": "S", "body": r["text"], "tags": [r["tag"]]}, "messages": [{"text": "hello"}]}
        for r in without(ROWS, "text")
        for r in [{**r, "text": f"text {r['item_id'][-1]}"}]
    ]
    write(tmp_path / "a.jsonl", lines(without(rows, "text")))
    fields = ("ticket.subject", "ticket.body", "messages.0.text")
    task = NOTES.model_copy(update={"text_fields": fields, "corpus_fields": (), "answer_field": "ticket.tags.0"})
    user = ingest(tmp_path, task=task).users["u"]
    assert [(i.text, i.answer) for i in user.items][:1] == [("S text 1 hello", "red")]
    wrong = NOTES.model_copy(update={"text_fields": ("ticket.nothing",)})
    with pytest.raises(UserError, match=r"no column 'ticket.nothing' \(text_fields\[0\]\), it has .*ticket.body, "):
        ingest(tmp_path, task=wrong)


def test_ids_are_text() -> None:
    known = uuid.UUID(int=7)
    assert [id_of(raw) for raw in ("a", 3, 3.0, Decimal("3.50"), Decimal("4.0"), known)] == [
        "a", "3", "3", "3.5", "4", str(known),
    ]  # fmt: skip
    assert [id_of(raw) for raw in (True, 3.5, None, "", " ", ["a"], Decimal("NaN"))] == [""] * 7


def test_an_id_made_of_content_is_always_the_same() -> None:
    assert made_id("a", "b") == made_id("a", "b") != made_id("ab")
    assert re.fullmatch("row-[0-9a-f]{16}", made_id("ü"))


def test_a_field_within_another() -> None:
    row = {"a.b": 1, "a": {"b": 2, "c": [{"d": 3}], "n": None}}
    assert [lookup(row, name) for name in ("a.b", "a.c.0.d", "a.c.1.d", "a.n", "x")] == [1, 3, None, None, None]
    assert [has_field(row, name) for name in ("a.n", "a.x", "x")] == [True, False, False]
    assert joined({"t": " ", "u": "one", "v": 2}, ("t", "u", "v")) == "one 2"
    with pytest.raises(TypeError, match=r"u is no text: \['one'\]"):
        joined({"u": ["one"]}, ("u",))


@pytest.mark.parametrize(
    ("bad", "where", "reason"),
    [
        ({"id": "x", "text": "t", "date": "2020"}, "x", "missing_answer"),
        (item("x", score=""), "x", "missing_answer"),
        (item("x", score="6"), "x", "answer_not_a_label"),
        (item("x", text=" "), "x", "empty_text"),
        ({"id": "x", "score": 5}, "x", "empty_text"),
        (item("x", text=["no text"]), "x", "malformed_item"),  # type: ignore[arg-type]
        (item(None), "", "malformed_item"),
        ("text", "", "malformed_item"),
        (item("x", date="soon"), "x", "malformed_date"),
        (item("ok", text="other"), None, "conflicting_item"),
    ],
)
def test_items_of_lamp_that_are_set_aside(tmp_path: Path, bad: Any, where: str | None, reason: str) -> None:
    record = "0/ok" if where is None else "0:1/profile[1]" + (f":{where}" if where else "")
    done = ingest_pure(lamp_root(tmp_path, [question("1", [item("ok"), bad])]), RATING, tmp_path / "out")
    assert done.reasons == [(Q, record, reason)]
    kept = [i.item_id for i in done.users["q:train:1"].items]
    assert kept == (["x", "ok"] if reason == "malformed_date" else ["ok"])
