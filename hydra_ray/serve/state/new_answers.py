"""The answers of items to be appended, read as the main job's ingest reads them."""

from collections.abc import Sequence
from textwrap import shorten

from hydra_ray.core.tasks import Task
from hydra_ray.data.answers import AnswerError, Answers
from hydra_ray.serve.schemas import NewItem
from hydra_ray.serve.types import InvalidError

SHOWN = 60
"""Characters of a client's text in a message."""
SHOWN_LABELS = 250


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


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")
