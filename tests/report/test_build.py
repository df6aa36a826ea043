"""report.json from a made-up run."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from hydra_ray.core.tasks import load_task
from hydra_ray.methods.method import method_named
from hydra_ray.registries import METHODS
from hydra_ray.report import AnswerRow, Costs
from tests.report.made_up import QUALITY, made_up_rows, report_on

TAGGING, RATING, HEADLINE = (load_task(name) for name in ("synthetic_tagging", "lamp_3", "lamp_4"))

KEYS = {
    "task", "users", "seeds", "primary_metric", "higher_is_better", "methods", "best_prompt_method", "relative_gain",
    "relative_gain_ci95", "users_helped", "users_harmed", "llm", "rejects", "seconds", "per_seed", "answers",
    "truncated", "users_without_history", "attainable", "per_user", "by_history", "hydra_against", "methods_ci95",
    "config", "heads", "folds", "majority", "oracles", "retriever_choice", "user_effects", "absolute_gain",
    "absolute_gain_ci95",
}  # fmt: skip


@pytest.mark.parametrize("task", [TAGGING, RATING, HEADLINE], ids=lambda task: task.kind)
def test_every_key_and_method_is_there(task: Any) -> None:
    report = report_on(task, made_up_rows(task, users=20, seeds=2), resamples=50)
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
    report = report_on()
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
    report = report_on(RATING)
    untrained = {name: v["mae"] for name, v in report["methods"].items() if not name.startswith("hydra")}
    assert untrained[report["best_prompt_method"]] == min(untrained.values())
    assert report["higher_is_better"] is False


def test_the_order_of_rows_changes_nothing() -> None:
    rows = made_up_rows(TAGGING, users=15)
    assert report_on(rows=random.Random(1).sample(rows, len(rows))) == report_on(rows=rows)


def test_seeds() -> None:
    report = report_on()
    seeds = report["per_seed"]["hydra"]
    assert list(seeds["values"]) == ["0", "1", "2"]
    # As many questions in each seed: pooled accuracy is the mean.
    assert seeds["mean"] == pytest.approx(report["methods"]["hydra"]["accuracy"])
    assert seeds["spread"] > 0
    assert report_on(rows=made_up_rows(TAGGING, seeds=1))["per_seed"]["hydra"]["spread"] is None


def test_without_hydra_there_is_no_gain() -> None:
    rows = [replace(row, answers={"zero_shot": row.answers["zero_shot"]}) for row in made_up_rows(TAGGING, users=5)]
    report = report_on(rows=rows)
    assert report["best_prompt_method"] == "zero_shot"
    assert (report["relative_gain"], report["relative_gain_ci95"], report["per_user"]) == (None, None, [])


def test_a_gain_over_zero_is_null() -> None:
    rows = [AnswerRow(0, f"u{i}", "q", "amber", 3, {"zero_shot": "birch", "hydra": "amber"}) for i in range(4)]
    report = report_on(rows=rows)
    assert report["relative_gain"] is None
    assert report["relative_gain_ci95"] == [None, None]
    assert report["hydra_against"]["zero_shot"]["difference"] == 1.0


def test_broken_tables_are_refused() -> None:
    row = made_up_rows(TAGGING, users=1, each=1, seeds=1)[0]
    with pytest.raises(ValueError, match="at least one"):
        report_on(rows=[])
    with pytest.raises(ValueError, match="answered twice"):
        report_on(rows=[row, row])
    other = replace(row, question_id="other", answers={"hydra": "amber"})
    with pytest.raises(ValueError, match="question 'other'"):
        report_on(rows=[row, other])


def test_a_method_that_lacks_answers_is_marked() -> None:
    rows = [replace(row, answers=dict.fromkeys(row.answers, "amber")) for row in made_up_rows(TAGGING, 4, seeds=1)]
    rows[0] = replace(rows[0], answers={**rows[0].answers, "bm25_k1": None})
    rows[1] = replace(rows[1], missing=frozenset({"hydra", "bm25_k1"}))
    report = report_on(rows=rows)
    assert report["incomplete"] == {"bm25_k1": "2 of 12 answers missing", "hydra": "1 of 12 answers missing"}
    assert report["answers"]["bm25_k1"]["missing"] == 2
    assert report["answers"]["zero_shot"]["missing"] == 0


def test_counts_that_no_stage_gave_are_zero() -> None:
    report = report_on(costs=Costs())
    assert set(report["llm"].values()) == {0}
    assert (report["seconds"], report["rejects"], report["attainable"]) == ({}, {}, None)


def _rows(task: Any, cases: list[tuple[str, str, str, str]]) -> list[AnswerRow]:
    """gold, user_majority, zero_shot, hydra of one question each."""
    names = ("user_majority", "zero_shot", "hydra")
    return [
        AnswerRow(0, f"u{i}", "q", gold, 3, dict(zip(names, given, strict=True)), {"oracle_samples": gold})
        for i, (gold, *given) in enumerate(cases)
    ]


def test_oracles_stand_apart_and_never_win() -> None:
    report = report_on()
    assert set(report["oracles"]) == {"oracle_example", "oracle_samples"}
    assert not set(report["oracles"]) & (set(report["methods"]) | set(report["hydra_against"]))
    perfect = report_on(rows=_rows(TAGGING, [(TAGGING.labels[0],) * 4] * 1))
    assert perfect["oracles"]["oracle_samples"]["metrics"]["accuracy"] == 1.0
    assert perfect["oracles"]["oracle_samples"]["ci95"] == [1.0, 1.0]
    rows = made_up_rows(TAGGING, users=2)
    with pytest.raises(ValueError, match="oracles \\[\\], elsewhere"):
        report_on(rows=[*rows[:-1], replace(rows[-1], oracles={})])


def test_absolute_and_relative_gain_agree() -> None:
    for task in (TAGGING, RATING):
        report = report_on(task)
        base = report["methods"][report["best_prompt_method"]][task.primary_metric]
        assert report["absolute_gain"] == pytest.approx(report["relative_gain"] * base)
        low, high = report["absolute_gain_ci95"]
        assert low < report["absolute_gain"] < high
