"""Results by length of history and by habit."""

import random
from dataclasses import replace
from typing import Any

import pytest

from hydra_ray.core.tasks import load_task
from hydra_ray.report import AnswerRow
from hydra_ray.report.breakdowns import history_bins
from tests.report.made_up import report_on

TAGGING, RATING, HEADLINE = (load_task(name) for name in ("synthetic_tagging", "lamp_3", "lamp_4"))


def test_history_bins() -> None:
    assert history_bins([0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]) == [(0, 0), (1, 2), (3, 4), (5, 6), (7, 8), (9, 10)]
    assert history_bins([5, 5, 5]) == [(5, 5)]
    assert history_bins([0]) == [(0, 0)]
    lengths = [random.Random(2).randint(1, 9) for _ in range(50)]
    assert sum(sum(a <= x <= b for x in lengths) for a, b in history_bins(lengths)) == 50


def test_every_question_is_in_one_bin() -> None:
    report = report_on()
    assert sum(entry["questions"] for entry in report["by_history"]) == report["questions"]
    assert list(report["by_history"][0]["methods"]) == ["zero_shot", report["best_prompt_method"], "hydra"]


def _rows(task: Any, cases: list[tuple[str, str, str, str]]) -> list[AnswerRow]:
    """gold, user_majority, zero_shot, hydra of one question each."""
    names = ("user_majority", "zero_shot", "hydra")
    return [
        AnswerRow(0, f"u{i}", "q", gold, 3, dict(zip(names, given, strict=True)), {"oracle_samples": gold})
        for i, (gold, *given) in enumerate(cases)
    ]


def test_answers_that_are_not_the_users_majority_are_judged_apart() -> None:
    a, b, c = TAGGING.labels[:3]
    rows = _rows(TAGGING, [(a, a, b, a), (a, a, b, b), (b, a, b, b), (b, a, b, f"Tag: {a}"), (c, a, a, b)])
    majority = report_on(rows=rows)["majority"]
    assert majority["user_majority"] == {
        "same": 1.0,
        "rest": 0,
        "rest_value": None,
        "rest_majority": None,
        "won": 0,
        "lost": 0,
    }
    # Of hydra's three others one is won, one lost, and in one both are wrong.
    assert majority["hydra"] == {
        "same": pytest.approx(0.4),
        "rest": 3,
        "rest_value": pytest.approx(1 / 3),
        "rest_majority": pytest.approx(1 / 3),
        "won": 1,
        "lost": 1,
    }
    assert majority["zero_shot"]["rest"] == 4
    assert report_on(rows=[replace(row, answers={"hydra": a}) for row in rows])["majority"] == {}


def test_the_majoritys_rest_of_a_rating_is_an_error() -> None:
    rows = _rows(RATING, [("5", "3", "5", "4"), ("1", "3", "3", "3")])
    found = report_on(RATING, rows)["majority"]["hydra"]
    assert (found["rest"], found["rest_value"], found["rest_majority"]) == (1, 1.0, 2.0)
