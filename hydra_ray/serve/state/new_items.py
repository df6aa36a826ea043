"""Answers and dates of items to be appended, read as the main job's ingest reads them."""

from collections.abc import Sequence
from textwrap import shorten

from hydra_ray.config import DataConfig
from hydra_ray.core.date_format import DateReader
from hydra_ray.core.dates import normalise_date
from hydra_ray.core.tasks import Task
from hydra_ray.data.answers import AnswerError, Answers
from hydra_ray.serve.schemas import NewItem
from hydra_ray.serve.types import InvalidError

SHOWN = 60
"""Characters of a client's text in a message."""
SHOWN_LABELS = 250
DATE_FORMS = (
    "give none, or ISO 8601 (2024, 2024-01-13, 2024-01-13T10:11:12+01:00), RFC 2822, or seconds, milliseconds, "
    "microseconds or nanoseconds since 1970"
)


class NewAnswers:
    """Of one task."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._answers = Answers(task)

    def read(self, items: Sequence[NewItem]) -> list[str]:
        """The answers as the task spells them, "" where there is none. Raises InvalidError for the first that is none
        of its labels."""
        return [self._one(i, item) for i, item in enumerate(items)]

    def problem(self, item: NewItem) -> str | None:
        """Why the answer is none of this task; None: it is one, or there is none."""
        if not self._task.closed:
            return None
        try:
            self._answers.read(item.answer)
        except AnswerError as error:
            if error.reason == "missing":
                return None
            labels = shorten(", ".join(self._task.labels), SHOWN_LABELS, placeholder=" ...")
            return (
                f"{_shown(item.answer)} of item {_shown(item.item_id)} is no answer of this task; give none, or one "
                f"of: {labels}"
            )
        return None

    def _one(self, i: int, item: NewItem) -> str:
        if not self._task.closed:
            return item.answer
        why = self.problem(item)
        if why is not None:
            raise InvalidError(f"items[{i}].answer", why)
        try:
            return self._answers.read(item.answer)
        except AnswerError:  # there is none
            return ""


class NewDates:
    """Of one run's data. The form that the run declares for its own rows is read where no other is."""

    def __init__(self, data: DataConfig) -> None:
        self._declared = data.tabular.date_format if data.source == "tabular" else None
        self._as_declared = DateReader(self._declared)

    def read(self, item: NewItem) -> str:
        """The date in the canonical form (`hydra_ray.core.dates`), "" where there is none, or none that is
        read."""
        return self._read(item.date) or ""

    def problem(self, item: NewItem) -> str | None:
        """Why the date is none; None: it is one, or there is none."""
        if self._read(item.date) is not None:
            return None
        declared = f", or {self._declared} as the run's data" if self._declared else ""
        return f"{_shown(item.date)} of item {_shown(item.item_id)} is no date that is read; {DATE_FORMS}{declared}"

    def _read(self, date: str) -> str | None:
        found = normalise_date(date)
        return self._as_declared(date) if found is None and self._declared else found


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")
