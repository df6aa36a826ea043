"""A sweep of made-up runs."""

from collections.abc import Sequence
from typing import Any

from hydra_ray.core.grid import GridPoint, parse_grid
from hydra_ray.report.sweep import build_sweep
from tests.report.made_up import TAGGING, made_up_rows, report_of


def points_of(*words: str) -> list[tuple[GridPoint, str]]:
    return [(point, f"run-{point.suffix}") for point in parse_grid(words).points]


def sweep_of(*words: str, methods: Sequence[str] = (), failed: str = "", waiting: str = "") -> dict[str, Any]:
    """failed, waiting: endings of names of runs that have failed, or are not done."""
    points = points_of(*words)
    reports = {
        run: report_of(made_up_rows(TAGGING, users=10, each=1, seeds=1, seed=i), train_users=10 * (i + 1))
        for i, (_, run) in enumerate(points)
        if not (failed and run.endswith(failed)) and not (waiting and run.endswith(waiting))
    }
    failures = {run: "the server is gone" for _, run in points if failed and run.endswith(failed)}
    return build_sweep(parse_grid(words).axes, points, reports, failures, methods)
