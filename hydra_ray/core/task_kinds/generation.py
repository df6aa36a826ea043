"""Free text."""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from hydra_ray.core.answers.free_text import bare_text, free_text
from hydra_ray.core.rouge import rouge_l
from hydra_ray.core.task_kinds.closed import PARSED_ANSWERS
from hydra_ray.core.tasks import Speller, Task, TaskKind
from hydra_ray.registries import TASK_KINDS


class Generation(TaskKind):
    """Answers are compared by their words."""

    closed = False
    metrics = ("rouge1", "rougeL", "bleu")
    summary_instruction = (
        "Below are texts that one person wrote for. Describe this person's way of writing in one line."
    )

    def check(self, task: Task) -> None:
        """There is nothing to hide."""
        if task.hide_labels:
            raise ValueError("hide_labels: a generation task has no labels to hide")

    def answer_tokens(self, task: Task) -> int:
        """A line, or some paragraphs."""
        return 64 if task.single_line else 512

    def parse(self, task: Task, text: str) -> str:
        """The text with all its lines, or its first line for a `single_line` task (`free_text`)."""
        return _parsed(task.answer_label, task.text_label, task.single_line, text)

    def parse_gold(self, task: Task, gold: str) -> str:
        """It loses nothing but what is no part of it (`bare_text`)."""
        return bare_text(task.answer_label, task.single_line, gold) or gold.strip()

    def is_answer(self, task: Task, answer: str) -> bool:
        """Any text is."""
        return bool(answer)

    def consensus(self, task: Task, answers: Sequence[str]) -> str:
        """The one with the highest mean ROUGE-L to the others."""
        count = len(answers)
        agreement = [0.0] * count
        for i in range(count):
            for j in range(i + 1, count):
                closeness = rouge_l(answers[i], answers[j], task.rouge)  # an F-measure: the same both ways round
                agreement[i] += closeness
                agreement[j] += closeness
        # Sums of the same numbers in another order may differ in the last bit; that must not decide.
        rounded = [round(total, 9) for total in agreement]
        return answers[rounded.index(max(rounded))]

    def from_history(self, task: Task, answers: Sequence[str]) -> str:
        """The last one."""
        composed = (unicodedata.normalize("NFC", answer) for answer in reversed(answers))
        return next((text for text in (self.parse_gold(task, answer) for answer in composed) if text), "")

    def speller(self, task: Task) -> Speller:
        """Text stays as it is; a truth value is none."""

        def spell(raw: Any, bare: str) -> str | None:
            if isinstance(raw, bool):
                return None
            return raw if isinstance(raw, str) else bare

        return spell


@lru_cache(maxsize=PARSED_ANSWERS)
def _parsed(answer_label: str, text_label: str, single_line: bool, text: str) -> str:
    """Free text once nothing more comes off it: a thought may stand in quotes, or behind another."""
    text = unicodedata.normalize("NFC", text)
    while (shorter := free_text(answer_label, text_label, single_line, text)) != text:
        text = shorter
    return text


TASK_KINDS.register("generation")(Generation())
