"""A comparison of made-up methods."""

from collections.abc import Mapping
from typing import Any

from hydra_ray.report import AnswerRow
from hydra_ray.report.comparison import build_comparison
from hydra_ray.report.method_costs import MethodCosts, Usage
from tests.report.made_up import QUALITY, TAGGING, made_up_rows, report_of


def costs_of(name: str) -> MethodCosts:
    """What a method may cost: nothing for the majority, one call for most, training for HYDRA's."""
    if name == "user_majority":
        return MethodCosts()
    answer = Usage(1, 30.0 + 40 * (len(name) % 5), 2.0)
    if not name.startswith("hydra"):
        return MethodCosts(answer)
    return MethodCosts(answer, Usage(4397, 500_000, 74_825), Usage(32.9, 4000, 100), 349.0, 276)


def comparison_of(
    rows: list[AnswerRow] | None = None,
    costs: Mapping[str, MethodCosts] | None = None,
    left_out: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    rows = rows if rows is not None else made_up_rows(TAGGING, users=30, each=2, seeds=1)
    costs = costs if costs is not None else {name: costs_of(name) for name in QUALITY}
    return build_comparison(TAGGING, rows, report_of(rows), costs, left_out or {})
