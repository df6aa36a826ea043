"""A raw question (LaMP's and OPPU's `{"id", "input", ...}`) to a SourceQuestion."""

from typing import Any

from hydra_ray.core.dates import normalise_date
from hydra_ray.core.tasks import Task
from hydra_ray.data.answers import AnswerError, Answers
from hydra_ray.data.rejects import Reject, excerpt
from hydra_ray.data.rows import SourceQuestion

NO_GOLD = object()
"""Stands for "there is no gold answer", which None, a value in a file, does not."""


def question_text(marked: str, marker: str | None) -> tuple[str, bool]:
    """What follows the first `marker`, and whether the marker was there (else the whole text, as with no marker).

    The instruction comes first and does not hold the marker, so later ones belong to the text. The one blank that
    separates marker and text goes with the marker; all other whitespace stays.
    """
    if marker is None:
        return marked, True
    _, found, text = marked.partition(marker)
    if not found:
        return marked, False
    return text.removeprefix(" "), True


class QuestionParser:
    """Reads the questions of one task; see `parse`."""

    def __init__(self, task: Task, gold_needed: bool) -> None:
        self._marker = task.question_marker
        self._answers = Answers(task)
        self._gold_needed = gold_needed

    def parse(
        self, question_id: str, marked: str, gold: Any, raw_date: Any, source: str, record: str
    ) -> tuple[SourceQuestion | None, list[Reject]]:
        """The question, or None if it cannot be used; and the rejects, which may hold warnings about one that is kept.

        gold: the raw gold answer, NO_GOLD if there is none. source, record: where it stands, for the rejects.
        """
        text, found = question_text(marked, self._marker)
        if not text.strip():
            return None, [Reject(source, record, "empty_question", excerpt(marked))]
        answer = None
        if gold is not NO_GOLD:
            try:
                answer = self._answers.read(gold)
            except AnswerError:
                return None, [Reject(source, record, "unusable_gold", excerpt(gold))]
        elif self._gold_needed:
            return None, [Reject(source, record, "question_without_gold", excerpt(text))]
        warnings = []
        if not found:
            warnings.append(Reject(source, record, "marker_missing", f"no {self._marker!r} in {excerpt(marked)}"))
        date = normalise_date(raw_date)
        if date is None:
            warnings.append(Reject(source, record, "malformed_date", excerpt(raw_date)))
        head = marked.removesuffix(text)
        return SourceQuestion(question_id, text, answer, date or "", head), warnings
