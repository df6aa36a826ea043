"""The commands: which steps a stage needs, and what it says at the end."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra_ray.config import Config
from hydra_ray.core.sampling import Trial
from hydra_ray.pipeline.job import Pipeline
from hydra_ray.pipeline.previous_run import STEPS, write_steps
from hydra_ray.pipeline.report_step import answered_rows, write_report_step
from hydra_ray.pipeline.run_context import RunContext
from hydra_ray.report import AnswerRow

Stage = Callable[[Pipeline, Trial], object]

PER_TRIAL: dict[str, Stage] = {
    "label": lambda job, trial: job.label(trial),
    "train-reranker": lambda job, trial: job.train("reranker", trial),
    "generate": lambda job, trial: job.generate(trial),
    "train-adapter": lambda job, trial: [job.train("adapter", trial, variant) for variant in job.variants],
    "fit-users": lambda job, trial: (
        job.fit("reranker", trial),
        *(job.fit("adapter", trial, variant) for variant in job.variants),
    ),
    "evaluate": lambda job, trial: (
        job.evaluate(trial),
        *(job.method(trial, name) for name in job.further_methods),
    ),
}


def run_stage(stage: str, config: Config) -> int:
    """Does a stage and whatever it needs that is not done yet. Returns the exit code."""
    with RunContext(config, stage) as run:
        run.begin()
        job = Pipeline(run)
        report = None
        if stage in ("run", "report"):
            _, report = whole_run(job)
        else:
            if stage == "ingest":
                job.ingest()
            else:
                for trial in config.protocol.trials:
                    PER_TRIAL[stage](job, trial)
            _note_steps(job)
        run.publish()
        if report is not None:
            _show(job, report)
        else:
            for name, result in job.results.items():
                print(f"{name}: {result.path}", file=sys.stderr)
    return 0


def whole_run(job: Pipeline) -> tuple[list[AnswerRow], dict[str, Any]]:
    """Does all that is not done, and writes the run's report: what every method answered, and the report's content
    (`write_report_step`)."""
    rows = answered_rows(job)
    report = write_report_step(job, rows)
    _note_steps(job)
    return rows, report


def _note_steps(job: Pipeline) -> None:
    """Keeps in the run's folder which steps are its own."""
    write_steps(job.run.folder, {label: result.key for label, result in job.results.items()})


def _show(job: Pipeline, report: dict[str, Any]) -> None:
    from hydra_ray.report import result_table

    if "this_invocation" not in report:
        show_unscored(job, report["unscored"])
        return
    now = report["this_invocation"]
    print(result_table(report))
    print(f"\nthis run: {now['llm_calls']} LLM calls, {now['seconds']:.0f} s")
    print(f"report: {job.run.folder / 'report.html'} (and report.md, report.json, predictions/)", flush=True)
    show_steps(job)
    if report["unscored"]:
        print(
            f"{report['unscored']} questions have no gold answer: they stand in {_predictions(job)} alone", flush=True
        )


def show_steps(job: Pipeline) -> None:
    """Says where the run's steps are named."""
    folder = job.run.folder
    print(f"steps: in {folder.parent / 'steps'}, by the names in {folder / STEPS}", file=sys.stderr)


def show_unscored(job: Pipeline, questions: int) -> None:
    """Says that there is nothing to score, and where the answers are. questions: that were answered."""
    print(f"no question has a gold answer, so nothing is scored; {questions} answers by every method: "
          f"{_predictions(job)}", flush=True)  # fmt: skip


def _predictions(job: Pipeline) -> Path:
    return job.run.folder / "predictions"
