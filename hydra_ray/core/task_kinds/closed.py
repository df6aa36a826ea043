"""What tasks with a list of labels have in common: classification and rating."""

import unicodedata
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from hydra_ray.core.answers.markup import (
    answer_names,
    marked_answer,
    unfenced,
    without_end_tokens,
    without_thoughts,
)
from hydra_ray.core.tasks import Task, TaskKind

PARSED_ANSWERS = 8192
"""Answers whose reading is kept: metrics, votes and tables read the same ones."""


class ClosedKind(TaskKind):
    """One of the task's labels."""

    closed = True
    summary_instruction = "Below are texts that one person answered. Name the answers this person gives most often."

    def check(self, task: Task) -> None:
        """There must be labels."""
        if not task.labels:
            raise ValueError(f"a {task.kind} task needs `labels`")

    @abstractmethod
    def label_in(self, labels: tuple[str, ...], text: str, names: tuple[str, ...]) -> str:
        """The label that a text without markup comes to, "" for none. names: what the answer may be announced as."""

    def parse(self, task: Task, text: str) -> str:
        """A label as it is written is itself; else what is announced, stands alone, or is mentioned."""
        if text in task.labels:
            return text
        return _parsed(self, task.labels, task.answer_label, task.text_label, text)

    def parse_gold(self, task: Task, gold: str) -> str:
        """A gold that is none of the labels stays as it is written."""
        return self.parse(task, gold) or " ".join(gold.split())

    def is_answer(self, task: Task, answer: str) -> bool:
        """Whether it is one of the labels."""
        return answer in task.labels

    def consensus(self, task: Task, answers: Sequence[str]) -> str:
        """The most frequent."""
        return Counter(answers).most_common(1)[0][0]  # insertion order decides ties

    def from_history(self, task: Task, answers: Sequence[str]) -> str:
        """The most frequent, ties to the one given last."""
        given = self.given(task, answers)
        return Counter(reversed(given)).most_common(1)[0][0] if given else ""

    def given(self, task: Task, answers: Sequence[str]) -> list[str]:
        """The user's own answers that are labels, in their order."""
        return [label for label in (self.parse(task, answer) if answer else "" for answer in answers) if label]


@lru_cache(maxsize=PARSED_ANSWERS)
def _parsed(kind: ClosedKind, labels: tuple[str, ...], answer_label: str, text_label: str, text: str) -> str:
    names = answer_names(answer_label)
    text = without_end_tokens(without_thoughts(unicodedata.normalize("NFC", text))).strip()
    text = _before_next_example(text_label, text)
    marked = marked_answer(text, names)
    return kind.label_in(labels, (unfenced(text) if marked is None else marked).replace("```", "\n"), names)


def _before_next_example(text_label: str, text: str) -> str:
    """Small LLMs go on with another text to label, as the examples of the prompt did."""
    if f"{text_label}:" not in text:
        return text
    lines = text.splitlines()
    again = (i for i, line in enumerate(lines) if line.startswith(f"{text_label}:") and any(lines[:i]))
    return "\n".join(lines[: next(again, len(lines))])
