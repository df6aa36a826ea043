"""One raw history item (a JSON object or a table row) to a HistoryItem."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hydra_ray.core.records import HistoryItem
from hydra_ray.core.tasks import Task
from hydra_ray.data.answers import AnswerError, Answers, is_missing
from hydra_ray.data.dates import normalise_date
from hydra_ray.data.rejects import Reject, excerpt


def id_of(raw: Any) -> str:
    """An id as text: text or a whole number; "" for anything else, which is no id."""
    if isinstance(raw, float) and raw.is_integer():
        raw = int(raw)
    if isinstance(raw, bool) or not isinstance(raw, str | int):
        return ""
    text = str(raw)
    return text if text.strip() else ""


@dataclass(frozen=True, slots=True)
class Layout:
    """Which fields of a raw item hold its id and date (None: items have no date)."""

    id_field: str = "id"
    date_field: str | None = "date"


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
        item_id = id_of(raw.get(self._layout.id_field))
        if not item_id:
            return reject("malformed_item", f"no {self._layout.id_field}: {dict(raw)!r}")
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
            value = raw.get(self._task.answer_field)
            try:
                answer = self._answers.read(value)
            except AnswerError as error:
                reason = "missing_answer" if error.reason == "missing" else "answer_not_a_label"
                return reject(reason, f"{self._task.answer_field}: {value!r}")
        raw_date = raw.get(self._layout.date_field) if self._layout.date_field else None
        date = normalise_date(raw_date)
        if date is None:
            rejects.append(Reject(source, record, "malformed_date", excerpt(raw_date)))
        return HistoryItem(item_id, text, corpus, answer, date or ""), rejects


def joined(raw: Mapping[str, Any], fields: tuple[str, ...]) -> str:
    """The non-empty ones of `fields`, with a space between. Raises TypeError for a value that is no text."""
    parts = []
    for name in fields:
        value = raw.get(name)
        if isinstance(value, bool | list | dict):
            raise TypeError(f"{name} is no text: {value!r}")
        if not is_missing(value) and str(value).strip():
            parts.append(str(value))
    return " ".join(parts)
