"""One raw history item (a JSON object or a table row) to a HistoryItem."""

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hydra_ray.core.dates import normalise_date
from hydra_ray.core.tasks import Task
from hydra_ray.core.types import HistoryItem
from hydra_ray.data.answers import AnswerError, Answers, is_missing
from hydra_ray.data.rejects import Reject, excerpt


def id_of(raw: Any) -> str:
    """An id as text: text, a whole number, a decimal or a UUID; "" for anything else, which is no id."""
    if isinstance(raw, uuid.UUID):
        return str(raw)
    if isinstance(raw, Decimal):
        if not raw.is_finite():
            return ""
        raw = int(raw) if raw == raw.to_integral_value() else format(raw.normalize(), "f")
    if isinstance(raw, float) and raw.is_integer():
        raw = int(raw)
    if isinstance(raw, bool) or not isinstance(raw, str | int):
        return ""
    text = str(raw)
    return text if text.strip() else ""


def made_id(*content: str) -> str:
    """An id for an item that has none: the same for the same content, wherever its row stands."""
    packed = json.dumps(content, ensure_ascii=False).encode()
    return f"row-{hashlib.blake2b(packed, digest_size=8).hexdigest()}"


def lookup(raw: Mapping[str, Any], name: str) -> Any:
    """The field `name` of a row, None if there is none; `a.b` is the field b within a, `a.0` the first of the list a.

    A field that is itself called `a.b` comes first.
    """
    return raw[name] if name in raw else _inside(raw, name)


def has_field(raw: Mapping[str, Any], name: str) -> bool:
    """Whether a row has the field `name`, be it null."""
    return name in raw or ("." in name and _inside(raw, name, MISSING) is not MISSING)


MISSING: Any = object()


def _inside(raw: Any, name: str, default: Any = None) -> Any:
    if "." not in name:
        return default
    value = raw
    for part in name.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return default
    return value


@dataclass(frozen=True, slots=True)
class Layout:
    """Which fields of a raw item hold its id and date (None: items have none), and how its dates are read.

    make_ids: an item without id gets one made of its content instead of being a reject.
    """

    id_field: str | None = "id"
    date_field: str | None = "date"
    read_date: Callable[[Any], str | None] = normalise_date
    make_ids: bool = False


class ItemParser:
    """Reads history items of one task; see `parse`."""

    def __init__(self, task: Task, layout: Layout = Layout()) -> None:
        self._task = task
        self._layout = layout
        self._answers = Answers(task)

    def parse(self, raw: Any, source: str, record: str) -> tuple[HistoryItem | None, list[Reject]]:
        """The item, or None if it cannot be used; and the rejects, which may hold warnings about an item that is kept.

        source, record: where the item stands, for the rejects.
        """
        rejects: list[Reject] = []

        def reject(reason: str, detail: Any) -> tuple[None, list[Reject]]:
            rejects.append(Reject(source, record, reason, excerpt(detail)))
            return None, rejects

        if not isinstance(raw, Mapping):
            return reject("malformed_item", raw)
        raw_id = lookup(raw, self._layout.id_field) if self._layout.id_field else None
        item_id = id_of(raw_id)
        is_null = is_missing(raw_id) or (isinstance(raw_id, str) and not raw_id.strip())
        if not item_id and not (self._layout.make_ids and is_null):
            return reject("malformed_item", f"no {self._layout.id_field}: {dict(raw)!r}")
        if item_id:
            record = f"{record}:{item_id}"
        try:
            text = joined(raw, self._task.text_fields)
            corpus = joined(raw, self._task.corpus)
        except TypeError as error:
            return reject("malformed_item", str(error))
        if not text.strip():
            return reject("empty_text", f"nothing in {', '.join(self._task.text_fields)}")
        answer = ""
        if self._task.answer_field is not None:
            value = lookup(raw, self._task.answer_field)
            try:
                answer = self._answers.read(value)
            except AnswerError as error:
                reason = "missing_answer" if error.reason == "missing" else "answer_not_a_label"
                return reject(reason, f"{self._task.answer_field}: {value!r}")
        raw_date = lookup(raw, self._layout.date_field) if self._layout.date_field else None
        date = self._layout.read_date(raw_date)
        if date is None:
            shown = raw_date if isinstance(raw_date, str) else str(raw_date)
            rejects.append(Reject(source, record, "malformed_date", excerpt(shown)))
        item_id = item_id or made_id(text, corpus, answer, date or "")
        return HistoryItem(item_id, text, corpus if corpus.strip() else text, answer, date or ""), rejects


def joined(raw: Mapping[str, Any], fields: tuple[str, ...]) -> str:
    """The non-empty ones of `fields`, with a space between. Raises TypeError for a value that is no text."""
    parts = []
    for name in fields:
        value = lookup(raw, name)
        if isinstance(value, bool | list | dict):
            raise TypeError(f"{name} is no text: {value!r}")
        if not is_missing(value) and str(value).strip():
            parts.append(str(value))
    return " ".join(parts)
