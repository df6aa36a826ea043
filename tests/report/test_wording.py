"""Findings and figures in words."""

from dataclasses import replace

import pytest

from hydra_ray.core.pairwise import pairwise
from hydra_ray.report.wording import conclusion, duration, finding, percent, score, score_range, verdict
from tests.report.made_up import TAGGING, made_up_rows, report_of


def test_verdicts() -> None:
    report = report_of()
    for ends, word in (([0.01, 0.2], "better"), ([-0.2, -0.01], "worse"), ([-0.1, 0.1], "not shown")):
        assert verdict({**report, "relative_gain_ci95": ends}) == word
    assert "contains zero" in finding({**report, "relative_gain_ci95": [-0.1, 0.1]})
    assert verdict({**report, "relative_gain": None}) == "no comparison"


@pytest.mark.parametrize(("users", "word"), [(1, "too few users"), (4, "too few users"), (6, "better")])
def test_a_difference_is_shown_where_the_comparison_of_all_pairs_shows_one(users: int, word: str) -> None:
    right, wrong = TAGGING.labels[:2]
    rows = [
        replace(
            row,
            gold=right,
            answers={"zero_shot": right if row.question_id.endswith("/0") else wrong, "hydra": right},
            oracles={},
        )
        for row in made_up_rows(TAGGING, users, each=2, seeds=1)
    ]
    report = report_of(rows)
    columns = {name: [row.answers[name] for row in rows] for name in ("zero_shot", "hydra")}
    (pair,) = pairwise(TAGGING, [row.user_id for row in rows], [row.gold for row in rows], columns)
    assert (report["users_that_differ"], verdict(report), pair.shown) == (users, word, word == "better")
    if not pair.shown:
        assert f"Too few users differ ({users}) to show a difference." in finding(report)
        assert conclusion(report) == f"no difference shown: too few users differ ({users})"


def test_words() -> None:
    assert [duration(s) for s in (0.25, 12.34, 59.99, 245, 7380)] == [
        "250 ms",
        "12.3 s",
        "60.0 s",
        "4 min 05 s",
        "2 h 03 min",
    ]
    assert percent(-0.0901, True) == "\u22129.0 %"
    assert percent(None) == "-"


def test_minus_is_one_sign_and_zero_has_none() -> None:
    assert [score("mae", value) for value in (-0.04, -0.0001, 0.3, None)] == ["−0.040", "0.000", "0.300", "-"]
    assert score("bleu", -1.26) == "−1.3"
    assert score_range("mae", (-0.105, -0.0)) == "−0.105 to 0.000"
    assert [percent(value, True) for value in (-0.065, -0.0001, 0.01)] == ["−6.5 %", "+0.0 %", "+1.0 %"]
    assert percent(-0.001) == "0 %"
