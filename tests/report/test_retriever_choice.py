"""What a choice among retrievers could gain."""

from hydra_ray.core.tasks import load_task
from hydra_ray.report import AnswerRow
from hydra_ray.report.html import html_report
from hydra_ray.report.tables import markdown_report
from tests.report.made_up import report_on

TAGGING, RATING, HEADLINE = (load_task(name) for name in ("synthetic_tagging", "lamp_3", "lamp_4"))


def test_a_choice_among_retrievers_lies_between_the_worst_and_the_best() -> None:
    a, b, c = TAGGING.labels[:3]
    names = ("zero_shot", "bm25_k4", "recency_k4", "hydra", "rspg_pre", "rspg_post")
    cases = [(a, b, a, a, b, b, a), (a, a, b, c, a, c, a), (b, c, c, c, c, c, c), (c, c, c, c, c, c, c)]
    rows = [
        AnswerRow(0, f"u{i}", "q", gold, 3, dict(zip(names, given, strict=True)))
        for i, (gold, *given) in enumerate(cases)
    ]
    report = report_on(rows=rows)
    oracles = {name: oracle["metrics"]["accuracy"] for name, oracle in report["oracles"].items()}
    assert oracles == {"oracle_retriever": 0.75, "worst_retriever": 0.25}
    # Each misses one question; where all are wrong, no other is better.
    shares = {name: found["share"] for name, found in report["retriever_choice"].items()}
    of_pool = {"zero_shot": 0.75, "bm25_k4": 0.75, "recency_k4": 0.75}
    # What chooses among them is no part of the pool.
    assert shares == {**of_pool, "rspg_pre": 0.5, "rspg_post": 1.0}
    for name, found in report["retriever_choice"].items():
        assert 0 <= found["ci95"][0] <= shares[name] <= found["ci95"][1] <= 1
    assert "best retriever" in markdown_report(report)
    assert "no other retriever is better" in markdown_report(report)
    assert "no other retriever is better" in html_report(report)


def test_the_two_retrievers_of_every_run_are_no_pool() -> None:
    report = report_on()
    assert report["retriever_choice"] == {}
    assert "retriever is better" not in markdown_report(report)
