"""The commands: which steps a stage needs, and what it says at the end."""

import sys
from collections.abc import Callable

from hydra_ray.config import Config
from hydra_ray.core.tasks import load_task
from hydra_ray.errors import UserError
from hydra_ray.pipeline.context import Run
from hydra_ray.pipeline.finish import finish
from hydra_ray.pipeline.job import Job

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
    with Run(config) as run:
        job = Job(run)
        if stage in ("run", "report"):
            _finish(job)
        elif stage == "ingest":
            job.ingest()
        else:
            for seed in config.protocol.seeds:
                PER_SEED[stage](job, seed)
        for name, result in job.results.items():
            print(f"{name}: {result.path}", file=sys.stderr)
    return 0


def _finish(job: Job) -> None:
    from hydra_ray.report import result_table

    report = finish(job)
    now = report["this_invocation"]
    print(result_table(report))
    print(f"\nthis run: {now['llm_calls']} LLM calls, {now['seconds']:.0f} s")
    print(f"report: {job.run.folder / 'report.html'} (and report.md, report.json, predictions/)", flush=True)


def dry_run(config: Config) -> str:
    """Checks what can be checked without work, and says what a run would do. Raises UserError for bad input."""
    from pathlib import Path

    from hydra_ray.data.sources import find_sources
    from hydra_ray.llm.identity import model_identity

    task = load_task(config.data.task)
    if config.data.source == "synthetic":
        source = f"a synthetic world of {config.data.synth.users} users"
    else:
        root = Path(config.data.root or ".").expanduser()
        if not root.is_dir():
            raise UserError(f"data.root: {root} is not a folder; give the one with the {config.data.source} files")
        source = ", ".join(s.name for s in find_sources(config.data, root))
    protocol = config.protocol
    queries = protocol.pseudo_queries + (protocol.train_questions or 1)
    users = (protocol.train_users or 0) + (protocol.test_users or 0)
    bound = len(protocol.seeds) * users * queries * (config.retrieval.n + 1)
    box = config.llm.base_url or f"vLLM on Ray Serve, {config.llm.serve.source}"
    return "\n".join(
        [
            f"task        {task.name} ({task.kind}, {task.primary_metric})",
            f"data        {source}",
            f"black box   {model_identity(config.llm)} at {box}",
            f"users       {protocol.train_users or 'all'} train, {protocol.test_users or 'all'} test, "
            f"{len(protocol.seeds)} seed(s)",
            f"LLM calls   at most about {bound:,} for feedback and candidates" if users else "LLM calls   all users",
            f"results     {Path(config.root) / config.name}",
        ]
    )
