"""sweep.json: the runs of a sweep, compared. Pure."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from hydra_ray.core.grid import GridPoint
from hydra_ray.report.methods import FULL, method_of

SHARED, PLAIN = "hydra_shared", "zero_shot"
COPIED = ("task", "primary_metric", "higher_is_better", "metric_directions")


def build_sweep(
    axes: Mapping[str, Sequence[str]],
    points: Sequence[tuple[GridPoint, str]],
    reports: Mapping[str, Mapping[str, Any]],
    failures: Mapping[str, str],
    methods: Sequence[str] = (),
) -> dict[str, Any]:
    """The whole of sweep.json as plain JSON values.

    Args:
        axes: Key -> its values.
        points: Each combination with the name of its run.
        reports: Name of a finished run -> its report.json.
        failures: Name of a run that failed -> why.
        methods: What is shown; none: `main_methods`.

    Returns:
        `points` in their order: values, run, and either each method's `value` and `ci95` with the run's users,
        questions and calls, or `failed`; a run that is not done yet has neither.
    """
    first: Mapping[str, Any] = next(iter(reports.values()), {})
    shown = list(methods) or main_methods(list(reports.values()))
    found = []
    for point, run in points:
        entry: dict[str, Any] = {"values": dict(point.values), "run": run, "failed": failures.get(run)}
        if run in reports:
            report = reports[run]
            metric = report["primary_metric"]
            entry |= {name: report[name] for name in ("users", "questions", "seeds", "folds")}
            entry["calls"] = report["llm"]["calls"]
            entry["methods"] = {
                name: {
                    "value": report["methods"][name][metric],
                    "ci95": report["methods_ci95"][name],
                    "missing": report["incomplete"].get(name),
                }
                for name in shown
                if name in report["methods"]
            }
        found.append(entry)
    return {
        **{name: first.get(name) for name in COPIED},
        "axes": {key: list(values) for key, values in axes.items()},
        "methods": shown,
        "points": found,
    }


def main_methods(reports: Sequence[Mapping[str, Any]]) -> list[str]:
    """Zero-shot, the method that trains nothing and is the best over all runs, HYDRA with one head, and HYDRA; as far
    as every run has them."""
    if not reports:
        return []
    common = [name for name in reports[0]["methods"] if all(name in report["methods"] for report in reports)]
    metric, sign = reports[0]["primary_metric"], 1 if reports[0]["higher_is_better"] else -1
    untrained = [name for name in common if method_of(name).group == "trains nothing"]
    best = max(untrained, key=lambda name: sign * fmean(r["methods"][name][metric] for r in reports), default="")
    return [name for name in dict.fromkeys((PLAIN, best, SHARED, FULL)) if name in common]
