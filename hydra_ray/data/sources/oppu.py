"""OPPU's processed histories, a user a record: `{"user_id", "profile": [...], "query": [{"id", "input", "gold"?}]}`."""

from collections.abc import Iterator
from typing import Any

from hydra_ray.core.tasks import Task
from hydra_ray.data.formats.fields import ItemParser, id_of
from hydra_ray.data.rejects import Reject, excerpt
from hydra_ray.data.rows import SourceRow
from hydra_ray.data.sources.find import Source
from hydra_ray.data.sources.golds import GoldIndex
from hydra_ray.data.sources.questions import NO_GOLD, QuestionParser
from hydra_ray.data.sources.records import check_fields, checked_records

LAYOUT = "a file of OPPU's histories"


def scan_oppu(source: Source, task: Task) -> Iterator[SourceRow | Reject]:
    """One SourceRow per usable record, and every reject; a user's questions all see the user's whole profile.

    Raises UserError: not JSON, cut off, not OPPU's layout, or another task's items.
    """
    assert source.split is not None
    parser = ItemParser(task)
    questions = QuestionParser(task, gold_needed=source.split == "train")
    unchecked = True
    with GoldIndex() as seen:
        for found in checked_records(source, LAYOUT, _malformed, lambda position, _: str(position), "users"):
            if isinstance(found, Reject):
                yield found
                continue
            position, raw = found
            if unchecked and raw["profile"]:
                first = raw["profile"][0]
                check_fields(source, task, set(first) if isinstance(first, dict) else set())
                unchecked = False
            user_id = id_of(raw["user_id"])
            record = f"{position}:{user_id}"
            kept, items = [], []
            for index, query in enumerate(raw["query"]):
                where = f"{record}/query[{index}]"
                question_id = id_of(query.get("id")) if isinstance(query, dict) else ""
                if not question_id or not isinstance(query.get("input"), str):
                    yield Reject(source.name, where, "malformed_record", excerpt(query))
                    continue
                where = f"{where}:{question_id}"
                if seen.ask(question_id)[0] == "repeated":
                    yield Reject(source.name, where, "duplicate_question", excerpt(query["input"]))
                    continue
                gold = NO_GOLD if query.get("gold") is None else query["gold"]
                question, notes = questions.parse(
                    question_id, query["input"], gold, query.get("date"), source.name, where
                )
                yield from notes
                if question is not None:
                    kept.append(question)
            for index, raw_item in enumerate(raw["profile"]):
                item, notes = parser.parse(raw_item, source.name, f"{record}/profile[{index}]")
                yield from notes
                if item is not None:
                    items.append(item)
            yield SourceRow(user_id, source.split, source.index, position, tuple(items), tuple(kept))


def _malformed(raw: Any) -> str:
    """What the record lacks of OPPU's layout, "" if nothing."""
    if not isinstance(raw, dict):
        return "no user_id, profile and query"
    if not id_of(raw.get("user_id")):
        return "no user_id"
    missing = [name for name in ("profile", "query") if not isinstance(raw.get(name), list)]
    return f"no {missing[0]} list" if missing else ""
