"""compare.json: every method of a run with its quality, its costs and whom it is better than."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hydra_ray.core.pairwise import LEVEL, pairwise, resamples_for
from hydra_ray.core.tasks import Task
from hydra_ray.report.build import finite
from hydra_ray.report.method_costs import MethodCosts
from hydra_ray.report.methods import in_order, method_of
from hydra_ray.report.needs import need_of
from hydra_ray.report.rows import AnswerRow, sorted_rows


def build_comparison(
    task: Task,
    rows: Sequence[AnswerRow],
    report: Mapping[str, Any],
    costs: Mapping[str, MethodCosts],
    left_out: Mapping[str, str],
) -> dict[str, Any]:
    """The whole of compare.json as plain, finite JSON values; it does not depend on the order of the rows.

    Args:
        task: What was asked.
        rows: The questions that have a gold answer.
        report: Of the same rows; metrics and their intervals are taken from it.
        costs: Of each method that is compared.
        left_out: Method -> why it could not run.

    Returns:
        `methods` by need and in the registry's order, each with its metrics, costs and the names of those that it is
        shown to be better than; `pairs`; `best`, the best by the primary metric; `frontier`, the methods that
        no other beats in both cost per answer and quality; `resamples`, of the tests.
    """
    rows = sorted_rows(rows)
    names = [name for name in in_order(costs) if name in report["methods"]]
    users, golds = [row.user_id for row in rows], [row.gold for row in rows]
    answers = {name: [row.answers[name] for row in rows] for name in names}
    least = report["bootstrap"]["resamples"]
    pairs = pairwise(task, users, golds, answers, least)
    metric = task.primary_metric
    sign = 1 if task.higher_is_better else -1
    values = {name: sign * report["methods"][name][metric] for name in names}
    tokens = {name: costs[name].answer.tokens for name in names if not costs[name].answer.unknown}
    copied = ("task", "users", "questions", "seeds", "folds", "primary_metric", "higher_is_better", "metric_directions")
    found: dict[str, Any] = {
        **{name: report[name] for name in copied},
        "methods": {
            name: {
                "title": method_of(name).title,
                "about": method_of(name).about,
                "needs": need_of(method_of(name).group),
                "metrics": report["methods"][name],
                "ci95": report["methods_ci95"][name],
                "missing": report["incomplete"].get(name),
                "costs": asdict(costs[name]),
                "better_than": [
                    loser
                    for one in pairs
                    if one.shown and (loser := loser_to(name, one.method, one.other, one.difference))
                ],
            }
            for name in names
        },
        "best": max(names, key=lambda name: values[name], default=None),
        "frontier": frontier(values, tokens),
        "pairs": [asdict(pair) for pair in pairs],
        "left_out": dict(left_out),
        "level": LEVEL,
        "resamples": resamples_for(len(names), least),
    }
    whole: dict[str, Any] = finite(found)
    return whole


def loser_to(name: str, one: str, other: str, difference: float) -> str:
    """Of a pair, the method that `name` is better than; "" if that is none."""
    if name == one and difference > 0:
        return other
    return one if name == other and difference < 0 else ""


def frontier(values: Mapping[str, float], tokens: Mapping[str, float]) -> list[str]:
    """The methods that no other beats in both cost and quality, cheapest first; of equals the first by name counts.

    Args:
        values: How good each is, higher is better.
        tokens: What an answer of each costs; methods of unknown cost are left out.
    """
    found: list[str] = []
    for name in sorted(tokens, key=lambda name: (tokens[name], -values[name], name)):
        if not found or values[name] > values[found[-1]]:
            found.append(name)
    return found
