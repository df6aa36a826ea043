"""What compare.json says of the methods."""

import json
import random

import pytest

from hydra_ray.report.comparison import frontier
from hydra_ray.report.method_costs import MethodCosts, Usage
from tests.report.compared import comparison_of, costs_of
from tests.report.made_up import QUALITY, TAGGING, made_up_rows, report_of


def test_methods_come_with_what_they_need_and_cost() -> None:
    comparison = comparison_of(left_out={"ranking_k1": "no file"})
    json.dumps(comparison, allow_nan=False)
    methods = comparison["methods"]
    assert set(methods) == set(QUALITY)
    assert {methods[name]["needs"] for name in ("user_majority", "bm25_k4", "self_consistency")} == {"nothing"}
    assert {methods[name]["needs"] for name in ("hydra", "hydra_shared")} == {"training"}
    assert methods["hydra"]["costs"]["parameters"] == 276
    assert methods["hydra"]["costs"]["training"]["calls"] == 4397
    assert comparison["left_out"] == {"ranking_k1": "no file"}


def test_quality_is_the_reports() -> None:
    rows = made_up_rows(TAGGING, users=20, each=1, seeds=1)
    comparison, report = comparison_of(rows), report_of(rows)
    for name, method in comparison["methods"].items():
        assert method["metrics"] == report["methods"][name]
        assert method["ci95"] == report["methods_ci95"][name]
    accuracy = {name: report["methods"][name]["accuracy"] for name in QUALITY}
    assert accuracy[comparison["best"]] == max(accuracy.values())


def test_every_pair_is_there_once_and_better_than_follows_from_it() -> None:
    comparison = comparison_of()
    pairs = comparison["pairs"]
    assert len(pairs) == len({frozenset((pair["method"], pair["other"])) for pair in pairs}) == 17 * 16 // 2
    wins = {
        (pair["method"], pair["other"]) if pair["difference"] > 0 else (pair["other"], pair["method"])
        for pair in pairs
        if pair["p_holm"] <= 0.05
    }
    assert wins
    told = {(name, loser) for name, method in comparison["methods"].items() for loser in method["better_than"]}
    assert told == wins


def test_only_methods_with_costs_are_compared_and_the_order_of_rows_does_not_matter() -> None:
    rows = made_up_rows(TAGGING, users=12, each=2, seeds=2)
    few = {name: costs_of(name) for name in ("hydra", "bm25_k4", "zero_shot")}
    comparison = comparison_of(rows, few)
    assert list(comparison["methods"]) == ["zero_shot", "bm25_k4", "hydra"]
    assert len(comparison["pairs"]) == 3
    random.Random(1).shuffle(rows)
    assert comparison_of(rows, few) == comparison


@pytest.mark.parametrize(
    ("values", "tokens", "found"),
    [
        ({"a": 0.2, "b": 0.6, "c": 0.5, "d": 0.9}, {"a": 0, "b": 10, "c": 20, "d": 30}, ["a", "b", "d"]),
        ({"a": 0.6, "b": 0.6}, {"a": 10, "b": 10}, ["a"]),
        ({"a": 0.6, "b": 0.7}, {"a": 10, "b": 10}, ["b"]),
        ({"a": -1.0, "b": -0.5}, {"a": 10}, ["a"]),
        ({}, {}, []),
    ],
)
def test_the_frontier(values: dict[str, float], tokens: dict[str, float], found: list[str]) -> None:
    assert frontier(values, tokens) == found


def test_what_has_unknown_tokens_is_on_no_frontier() -> None:
    costs = {"hydra": MethodCosts(Usage(1, 1, 1, unknown=0.5)), "zero_shot": costs_of("zero_shot")}
    assert comparison_of(costs=costs)["frontier"] == ["zero_shot"]
