"""`hydra-ray compare`: a run with many methods, and an analysis of what they answered and cost."""

from collections.abc import Mapping

from hydra_ray.config import Config
from hydra_ray.errors import NothingToLearnError
from hydra_ray.methods.chosen import ChosenMethods
from hydra_ray.methods.method import method_named
from hydra_ray.pipeline.job import Pipeline
from hydra_ray.pipeline.method_costs import method_costs
from hydra_ray.pipeline.run_context import RunContext
from hydra_ray.pipeline.stages import show_steps, show_unscored, whole_run
from hydra_ray.report.comparison import build_comparison
from hydra_ray.report.comparison_page import write_comparison
from hydra_ray.report.comparison_tables import comparison_table

FOLDER = "compare"
"""Of the comparison, in the run's folder."""


def compare(config: Config, chosen: ChosenMethods) -> int:
    """Carries the run out and compares its methods. Returns the exit code.

    Args:
        config: Of the run; `evaluate.methods` names what `chosen.further` does.
        chosen: The methods.

    Raises:
        UserError: As a run does; and where a method that is named learns nothing.
    """
    with RunContext(config) as run:
        run.begin()
        for name, why in chosen.left_out.items():
            run.log(f"compare: {name} is left out: {why}")
        job = Pipeline(run)
        left_out = {**chosen.left_out, **leave_out(job, chosen)}
        rows, report = whole_run(job)
        if "this_invocation" not in report:
            run.publish()
            show_unscored(job, report["unscored"])
            return 0
        names = [name for name in chosen.shown if name not in left_out]
        scored = [row for row in rows if row.scored]
        comparison = build_comparison(run.task, scored, report, method_costs(job, scored, names), left_out)
        write_comparison(run.folder / FOLDER, comparison)
        run.publish()
        now = report["this_invocation"]
        print(comparison_table(comparison))
        print(f"\nthis run: {now['llm_calls']} LLM calls, {now['seconds']:.0f} s")
        print(f"comparison: {run.folder / FOLDER / 'compare.html'} (and compare.md, compare.json, compare.svg)")
        print(f"report: {run.folder / 'report.html'}", flush=True)
        show_steps(job)
    return 0


def leave_out(job: Pipeline, chosen: ChosenMethods) -> Mapping[str, str]:
    """Trains the methods that train, and leaves out of the run those that have nothing to learn from, unless they are
    named: method -> why."""
    found: dict[str, str] = {}
    for name in chosen.further:
        if name in chosen.named or method_named(name).train is None:
            continue
        try:
            for trial in job.config.protocol.trials:
                job.trained_method(trial, name)
        except NothingToLearnError as error:
            found[name] = str(error)
            job.left_out.add(name)
            job.run.log(f"compare: {name} is left out: {error}")
    return found
