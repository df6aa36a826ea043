"""Answers (of items and gold): brought to the task's own spelling of its labels."""

import math
import unicodedata
from typing import Any

from hydra_ray.core.tasks import Task


class AnswerError(ValueError):
    """An answer that cannot be used; `reason` is `missing` (nothing there) or `label` (none of the task's labels)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def is_missing(value: Any) -> bool:
    """Whether a field has no value: None or not-a-number, which tables write for it."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())


def _folded(text: str) -> str:
    """Caseless: folding may decompose letters."""
    return unicodedata.normalize("NFC", _composed(text).casefold())


class Answers:
    """Reads the answers of one task.

    Ratings are compared as numbers (5, "5.0" and " 5" are "5"), classes without regard to case, outer whitespace and
    Unicode form (composed or decomposed letters); free text stays as it is.
    """

    def __init__(self, task: Task) -> None:
        self._kind = task.kind
        self._exact = {_composed(label): label for label in task.labels}
        folded: dict[str, list[str]] = {}
        for label in task.labels:
            folded.setdefault(_folded(label), []).append(label)
        self._folded = {key: labels[0] for key, labels in folded.items() if len(labels) == 1}
        self._numbers = {float(label): label for label in task.labels} if task.kind == "rating" else {}

    def read(self, raw: Any) -> str:
        """The answer as the task spells it. Raises AnswerError."""
        if is_missing(raw):
            raise AnswerError("missing")
        if isinstance(raw, bool | list | dict):
            raise AnswerError("label")
        text = raw if isinstance(raw, str) else str(raw)
        bare = text.strip()
        if not bare:
            raise AnswerError("missing")
        if self._kind == "generation":
            return text
        if self._kind == "rating":
            number = _number(bare)
            if number is not None and number in self._numbers:
                return self._numbers[number]
            raise AnswerError("label")
        label = self._exact.get(_composed(bare)) or self._folded.get(_folded(bare))
        if label is None:
            raise AnswerError("label")
        return label
