"""`hydra-ray sweep`: one run for each value, one table and one chart of all."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra_ray.config import Config, ValueOverride, load_config
from hydra_ray.core.grid import Grid, GridPoint
from hydra_ray.errors import UserError
from hydra_ray.methods.chosen import choose_methods
from hydra_ray.pipeline.job import Pipeline
from hydra_ray.pipeline.run_context import RunContext
from hydra_ray.pipeline.stages import whole_run
from hydra_ray.report.sweep import build_sweep
from hydra_ray.report.sweep_page import sweep_table, write_sweep

FOLDER = "sweeps"
"""Of all sweeps, under the root."""


class Sweep:
    """The runs of a sweep. All configurations are read, and mistakes found, before any run begins."""

    def __init__(self, file: Path, grid: Grid, methods: str | None = None) -> None:
        """methods: names with commas between them, of what the table shows; None: `main_methods`.

        Raises:
            UserError: For a mistake in a configuration.
        """
        first, *_ = grid.points
        base = load_config(file, [*grid.fixed, *first.overrides])
        chosen = choose_methods(base, methods) if methods else None
        self._grid, self.methods = grid, chosen.shown if chosen else ()
        shown = list(dict.fromkeys([*base.evaluate.methods, *(chosen.further if chosen else ())]))
        # Before the point's own values, which may be methods.
        common: list[str | ValueOverride] = [*grid.fixed, ValueOverride(("evaluate", "methods"), shown)]
        self.runs: list[tuple[GridPoint, Config]] = [
            (point, load_config(file, [*common, *point.overrides, f"name={base.name}-{point.suffix}"]))
            for point in grid.points
        ]
        self.folder = Path(base.root).expanduser().resolve() / FOLDER / "-".join([base.name, *grid.axes])

    def run(self) -> int:
        """Carries out what is not done, writes table and chart after each run. Returns the exit code: 2 if a run has
        failed; the others go on."""
        reports: dict[str, dict[str, Any]] = {}
        failures: dict[str, str] = {}
        for line in budget_lines([config for _, config in self.runs]):
            _log(line)
        for number, (point, config) in enumerate(self.runs, 1):
            _log(f"run {number} of {len(self.runs)}: {point}")
            try:
                reports[config.name] = run_one(config)
            except UserError as error:
                failures[config.name] = " ".join(str(error).split())
                _log(f"{point} failed: {failures[config.name]}")
            if reports:
                write_sweep(self.folder, self._built(reports, failures))
        if reports:
            print(sweep_table(self._built(reports, failures)))
            print(f"\nsweep: {self.folder / 'sweep.html'} (and sweep.md, sweep.json, sweep.svg)", flush=True)
        if failures:
            _log(f"{len(failures)} of {len(self.runs)} runs failed; the same command goes on with them")
        return 2 if failures else 0

    def _built(self, reports: Mapping[str, Mapping[str, Any]], failures: Mapping[str, str]) -> dict[str, Any]:
        names = [(point, config.name) for point, config in self.runs]
        return build_sweep(self._grid.axes, names, reports, failures, self.methods)


def run_one(config: Config) -> dict[str, Any]:
    """A whole run; its report. Raises UserError as a run does, and where nothing can be scored."""
    with RunContext(config) as run:
        run.begin()
        _, report = whole_run(Pipeline(run))
        run.publish()
    if "methods" not in report:
        raise UserError("no question has a gold answer, so that nothing is scored")
    return report


def budget_lines(configs: Sequence[Config]) -> list[str]:
    """That a budget holds for each run, and what all may use together."""
    found = []
    for name in ("max_calls", "max_cost"):
        limits = [limit for config in configs if (limit := getattr(config.llm, name)) is not None]
        if limits:
            found.append(f"llm.{name} holds for each run; for all {len(configs)} together it is {sum(limits):g}"
                         if len(limits) == len(configs) else f"llm.{name} is not set for every run")  # fmt: skip
    return found


def _log(line: str) -> None:
    print(f"sweep: {line}", file=sys.stderr, flush=True)
