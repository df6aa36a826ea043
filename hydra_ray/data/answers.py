"""Answers (of items and gold): brought to the task's own spelling of its labels."""

import math
from decimal import Decimal
from typing import Any

from hydra_ray.core.tasks import Task


class AnswerError(ValueError):
    """An answer that cannot be used; `reason` is `missing` (nothing there) or `label` (none of the task's labels)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def is_missing(value: Any) -> bool:
    """Whether a field has no value: None or not-a-number, which tables write for it."""
    return value is None or (isinstance(value, float | Decimal) and math.isnan(value))


class Answers:
    """Reads the answers of one task.

    Ratings are compared as numbers (5, "5.0" and " 5" are "5"), classes without regard to case, outer whitespace and
    Unicode form (composed or decomposed letters), truth values as the words true and false; free text stays as it is.
    """

    def __init__(self, task: Task) -> None:
        self._spell = task.rules.speller(task)

    def read(self, raw: Any) -> str:
        """The answer as the task spells it. Raises AnswerError."""
        if is_missing(raw):
            raise AnswerError("missing")
        if isinstance(raw, list | dict):
            raise AnswerError("label")
        bare = str(raw).strip()
        if not bare:
            raise AnswerError("missing")
        spelt = self._spell(raw, bare)
        if spelt is None:
            raise AnswerError("label")
        return spelt
