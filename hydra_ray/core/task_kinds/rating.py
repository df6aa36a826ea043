"""A number of an ordered scale."""

import statistics
from collections.abc import Sequence
from typing import Any

from hydra_ray.core.answers.rating import as_rating
from hydra_ray.core.task_kinds.closed import ClosedKind
from hydra_ray.core.tasks import Speller, Task
from hydra_ray.registries import TASK_KINDS


class Rating(ClosedKind):
    """Labels are the scale's numbers, low to high, compared as numbers."""

    metrics = ("mae", "rmse")
    further_metrics = ("accuracy", "macro_f1")

    def check(self, task: Task) -> None:
        """All labels must be numbers."""
        super().check(task)
        for label in task.labels:
            float(label)

    def answer_tokens(self, task: Task) -> int:
        """A number and a few words."""
        return 16

    def label_in(self, labels: tuple[str, ...], text: str, names: tuple[str, ...]) -> str:
        """ "Score: 4.0" is "4", "4/5" where 5 is the top of the scale; "" for several numbers or one off the scale."""
        return as_rating(labels, text, names)

    def from_history(self, task: Task, answers: Sequence[str]) -> str:
        """The constant that the task's metric likes best: the unrounded mean for rmse, the upper median for mae,
        the most frequent for accuracy and macro_f1.

        On real product ratings the median's MAE is .51, the mean's .64: a weaker baseline would flatter the others.
        """
        if task.primary_metric in self.further_metrics:
            return super().from_history(task, answers)
        values = [float(answer) for answer in self.given(task, answers)]
        if not values:
            return ""
        value = statistics.fmean(values) if task.primary_metric == "rmse" else statistics.median_high(values)
        return self.parse(task, f"{value:.4f}")

    def speller(self, task: Task) -> Speller:
        """5, "5.0" and " 5" are "5"; a truth value is no number."""
        spelt = {float(label): label for label in task.labels}

        def spell(raw: Any, bare: str) -> str | None:
            if isinstance(raw, bool):
                return None
            try:
                return spelt.get(float(bare))
            except ValueError:
                return None

        return spell


TASK_KINDS.register("rating")(Rating())
