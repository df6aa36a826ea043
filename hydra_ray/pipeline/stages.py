"""The commands: which steps a stage needs, and what it says at the end."""

import sys
from collections.abc import Callable
from typing import Any

from hydra_ray.config import Config
from hydra_ray.pipeline.context import Run
from hydra_ray.pipeline.finish import finish
from hydra_ray.pipeline.job import Job
from hydra_ray.pipeline.since import write_steps

Stage = Callable[[Job, int], object]

PER_SEED: dict[str, Stage] = {
    "label": lambda job, seed: job.label(seed),
    "train-reranker": lambda job, seed: job.train("reranker", seed),
    "generate": lambda job, seed: job.generate(seed),
    "train-adapter": lambda job, seed: job.train("adapter", seed),
    "fit-users": lambda job, seed: (job.fit("reranker", seed), job.fit("adapter", seed)),
    "evaluate": lambda job, seed: job.evaluate(seed),
}


def run_stage(stage: str, config: Config) -> int:
    """Does a stage and whatever it needs that is not done yet. Returns the exit code."""
    with Run(config, stage) as run:
        run.check_local()
        job = Job(run)
        report = None
        if stage in ("run", "report"):
            report = finish(job)
        elif stage == "ingest":
            job.ingest()
        else:
            for seed in config.protocol.seeds:
                PER_SEED[stage](job, seed)
        write_steps(run.folder, {label: result.key for label, result in job.results.items()})
        if report is not None:
            _show(job, report)
        for name, result in job.results.items():
            print(f"{name}: {result.path}", file=sys.stderr)
    return 0


def _show(job: Job, report: dict[str, Any]) -> None:
    from hydra_ray.report import result_table

    now = report["this_invocation"]
    print(result_table(report))
    print(f"\nthis run: {now['llm_calls']} LLM calls, {now['seconds']:.0f} s")
    print(f"report: {job.run.folder / 'report.html'} (and report.md, report.json, predictions/)", flush=True)
