"""report.json from a made-up run."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from hydra_ray.core.tasks import load_task
from hydra_ray.methods.method import method_named
from hydra_ray.registries import METHODS
from hydra_ray.report import AnswerRow, Costs, build_report
from hydra_ray.report.breakdowns import history_bins
from hydra_ray.report.html import html_report
from hydra_ray.report.rows import answer_counts
from hydra_ray.report.tables import markdown_report
from tests.report.made_up import CONFIG, COSTS, QUALITY, made_up_rows

TAGGING, RATING, HEADLINE = (load_task(name) for name in ("synthetic_tagging", "lamp_3", "lamp_4"))
KEYS = {
    "task", "users", "seeds", "primary_metric", "higher_is_better", "methods", "best_prompt_method", "relative_gain",
    "relative_gain_ci95", "users_helped", "users_harmed", "llm", "rejects", "seconds", "per_seed", "answers",
    "truncated", "users_without_history", "attainable", "per_user", "by_history", "hydra_against", "methods_ci95",
    "config", "heads", "folds", "majority", "oracles", "retriever_choice", "user_effects", "absolute_gain",
    "absolute_gain_ci95",
}  # fmt: skip


def _report(task: Any = TAGGING, rows: list[AnswerRow] | None = None, **options: Any) -> dict[str, Any]:
    options = {"train_users": 100, "config": CONFIG, "costs": COSTS, "resamples": 500, **options}
    return build_report(task, rows if rows is not None else made_up_rows(task), **options)


@pytest.mark.parametrize("task", [TAGGING, RATING, HEADLINE], ids=lambda task: task.kind)
def test_every_key_and_method_is_there(task: Any) -> None:
    report = _report(task, made_up_rows(task, users=20, seeds=2))
    assert set(report) >= KEYS
    shown = [name for name in METHODS.builtin if method_named(name).always]
    assert list(report["methods"]) == shown == list(QUALITY)
    metrics = {"classification": {"accuracy", "macro_f1"}, "rating": {"mae", "rmse"}}
    wanted = metrics.get(task.kind, {"rouge1", "rougeL", "bleu"})
    assert all(set(values) == wanted for values in report["methods"].values())
    assert report["users"] == {"train": 100, "test": 40}
    assert report["seeds"] == [0, 1]
    assert set(report["llm"]) == {"calls", "cached", "prompt_tokens", "completion_tokens", "cost"}
    json.dumps(report, allow_nan=False)


def test_the_headline_is_hydra_over_the_best_that_trains_nothing() -> None:
    report = _report()
    best = report["best_prompt_method"]
    untrained = {name: v["accuracy"] for name, v in report["methods"].items() if not name.startswith("hydra")}
    assert untrained[best] == max(untrained.values())
    ours = report["methods"]["hydra"]["accuracy"]
    assert report["relative_gain"] == pytest.approx((ours - untrained[best]) / untrained[best])
    low, high = report["relative_gain_ci95"]
    assert low < report["relative_gain"] < high
    assert 0 < report["users_helped"] + report["users_harmed"] <= 1
    gaps = [entry["difference"] for entry in report["per_user"]]
    assert gaps == sorted(gaps)
    assert report["users_helped"] == pytest.approx(sum(gap > 0 for gap in gaps) / len(gaps))


def test_rating_picks_the_smallest_error() -> None:
    report = _report(RATING)
    untrained = {name: v["mae"] for name, v in report["methods"].items() if not name.startswith("hydra")}
    assert untrained[report["best_prompt_method"]] == min(untrained.values())
    assert report["higher_is_better"] is False


def test_the_order_of_rows_changes_nothing() -> None:
    rows = made_up_rows(TAGGING, users=15)
    assert _report(rows=random.Random(1).sample(rows, len(rows))) == _report(rows=rows)


def test_seeds() -> None:
    report = _report()
    seeds = report["per_seed"]["hydra"]
    assert list(seeds["values"]) == ["0", "1", "2"]
    # As many questions in each seed: pooled accuracy is the mean.
    assert seeds["mean"] == pytest.approx(report["methods"]["hydra"]["accuracy"])
    assert seeds["spread"] > 0
    assert _report(rows=made_up_rows(TAGGING, seeds=1))["per_seed"]["hydra"]["spread"] is None


def test_answers_that_are_none() -> None:
    answers = ["Tag: amber", None, "", " \n", "no such tag", "amber or birch", "<think>amber"]
    assert answer_counts(TAGGING, answers) == {"missing": 1, "empty": 2, "thoughts_only": 1, "no_label": 2}
    answers = ["a headline", None, "", "<think>a headline", "<think>short</think>a headline"]
    assert answer_counts(HEADLINE, answers) == {"missing": 1, "empty": 1, "thoughts_only": 1, "no_label": 0}


def test_history_bins() -> None:
    assert history_bins([0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]) == [(0, 0), (1, 2), (3, 4), (5, 6), (7, 8), (9, 10)]
    assert history_bins([5, 5, 5]) == [(5, 5)]
    assert history_bins([0]) == [(0, 0)]
    lengths = [random.Random(2).randint(1, 9) for _ in range(50)]
    assert sum(sum(a <= x <= b for x in lengths) for a, b in history_bins(lengths)) == 50


def test_every_question_is_in_one_bin() -> None:
    report = _report()
    assert sum(entry["questions"] for entry in report["by_history"]) == report["questions"]
    assert list(report["by_history"][0]["methods"]) == ["zero_shot", report["best_prompt_method"], "hydra"]


def test_without_hydra_there_is_no_gain() -> None:
    rows = [replace(row, answers={"zero_shot": row.answers["zero_shot"]}) for row in made_up_rows(TAGGING, users=5)]
    report = _report(rows=rows)
    assert report["best_prompt_method"] == "zero_shot"
    assert (report["relative_gain"], report["relative_gain_ci95"], report["per_user"]) == (None, None, [])


def test_a_gain_over_zero_is_null() -> None:
    rows = [AnswerRow(0, f"u{i}", "q", "amber", 3, {"zero_shot": "birch", "hydra": "amber"}) for i in range(4)]
    report = _report(rows=rows)
    assert report["relative_gain"] is None
    assert report["relative_gain_ci95"] == [None, None]
    assert report["hydra_against"]["zero_shot"]["difference"] == 1.0


def test_broken_tables_are_refused() -> None:
    row = made_up_rows(TAGGING, users=1, each=1, seeds=1)[0]
    with pytest.raises(ValueError, match="at least one"):
        _report(rows=[])
    with pytest.raises(ValueError, match="answered twice"):
        _report(rows=[row, row])
    other = replace(row, question_id="other", answers={"hydra": "amber"})
    with pytest.raises(ValueError, match="question 'other'"):
        _report(rows=[row, other])


def test_a_method_that_lacks_answers_is_marked() -> None:
    rows = [replace(row, answers=dict.fromkeys(row.answers, "amber")) for row in made_up_rows(TAGGING, 4, seeds=1)]
    rows[0] = replace(rows[0], answers={**rows[0].answers, "bm25_k1": None})
    rows[1] = replace(rows[1], missing=frozenset({"hydra", "bm25_k1"}))
    report = _report(rows=rows)
    assert report["incomplete"] == {"bm25_k1": "2 of 12 answers missing", "hydra": "1 of 12 answers missing"}
    assert report["answers"]["bm25_k1"]["missing"] == 2
    assert report["answers"]["zero_shot"]["missing"] == 0


def test_counts_that_no_stage_gave_are_zero() -> None:
    report = _report(costs=Costs())
    assert set(report["llm"].values()) == {0}
    assert (report["seconds"], report["rejects"], report["attainable"]) == ({}, {}, None)


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
    majority = _report(rows=rows)["majority"]
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
    assert _report(rows=[replace(row, answers={"hydra": a}) for row in rows])["majority"] == {}


def test_the_majoritys_rest_of_a_rating_is_an_error() -> None:
    rows = _rows(RATING, [("5", "3", "5", "4"), ("1", "3", "3", "3")])
    found = _report(RATING, rows)["majority"]["hydra"]
    assert (found["rest"], found["rest_value"], found["rest_majority"]) == (1, 1.0, 2.0)


def test_oracles_stand_apart_and_never_win() -> None:
    report = _report()
    assert set(report["oracles"]) == {"oracle_example", "oracle_samples"}
    assert not set(report["oracles"]) & (set(report["methods"]) | set(report["hydra_against"]))
    perfect = _report(rows=_rows(TAGGING, [(TAGGING.labels[0],) * 4] * 1))
    assert perfect["oracles"]["oracle_samples"]["metrics"]["accuracy"] == 1.0
    assert perfect["oracles"]["oracle_samples"]["ci95"] == [1.0, 1.0]
    rows = made_up_rows(TAGGING, users=2)
    with pytest.raises(ValueError, match="oracles \\[\\], elsewhere"):
        _report(rows=[*rows[:-1], replace(rows[-1], oracles={})])


def test_a_choice_among_retrievers_lies_between_the_worst_and_the_best() -> None:
    a, b, c = TAGGING.labels[:3]
    names = ("zero_shot", "bm25_k4", "recency_k4", "hydra", "rspg_pre", "rspg_post")
    cases = [(a, b, a, a, b, b, a), (a, a, b, c, a, c, a), (b, c, c, c, c, c, c), (c, c, c, c, c, c, c)]
    rows = [
        AnswerRow(0, f"u{i}", "q", gold, 3, dict(zip(names, given, strict=True)))
        for i, (gold, *given) in enumerate(cases)
    ]
    report = _report(rows=rows)
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
    report = _report()
    assert report["retriever_choice"] == {}
    assert "retriever is better" not in markdown_report(report)


def test_absolute_and_relative_gain_agree() -> None:
    for task in (TAGGING, RATING):
        report = _report(task)
        base = report["methods"][report["best_prompt_method"]][task.primary_metric]
        assert report["absolute_gain"] == pytest.approx(report["relative_gain"] * base)
        low, high = report["absolute_gain_ci95"]
        assert low < report["absolute_gain"] < high
