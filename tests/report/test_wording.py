"""Findings and figures in words."""

from hydra_ray.report.wording import duration, finding, percent, score, score_range, verdict
from tests.report.made_up import report_of


def test_verdicts() -> None:
    report = report_of()
    for ends, word in (([0.01, 0.2], "better"), ([-0.2, -0.01], "worse"), ([-0.1, 0.1], "not shown")):
        assert verdict({**report, "relative_gain_ci95": ends}) == word
    assert "contains zero" in finding({**report, "relative_gain_ci95": [-0.1, 0.1]})
    assert verdict({**report, "relative_gain": None}) == "no comparison"


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
