"""Answers counted."""

from hydra_ray.core.tasks import load_task
from hydra_ray.report.rows import answer_counts

TAGGING, RATING, HEADLINE = (load_task(name) for name in ("synthetic_tagging", "lamp_3", "lamp_4"))


def test_answers_that_are_none() -> None:
    answers = ["Tag: amber", None, "", " \n", "no such tag", "amber or birch", "<think>amber"]
    assert answer_counts(TAGGING, answers) == {"missing": 1, "empty": 2, "thoughts_only": 1, "no_label": 2}
    answers = ["4", "4.5", "4.3333", "6", "no number", "3 or 4"]
    assert answer_counts(RATING, answers) == {"missing": 0, "empty": 0, "thoughts_only": 0, "no_label": 3}
    answers = ["a headline", None, "", "<think>a headline", "<think>short</think>a headline"]
    assert answer_counts(HEADLINE, answers) == {"missing": 1, "empty": 1, "thoughts_only": 1, "no_label": 0}
