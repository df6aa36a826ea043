"""The last stage: adapters choose, the report is written into the run's own folder."""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra_ray.data.reader import read_counts
from hydra_ray.llm.response_cache import Counts, ResponseCache
from hydra_ray.llm.usability import FAULTS
from hydra_ray.methods.question import Adapter
from hydra_ray.pipeline.answer_workers import AnsweredStep, Answering, answer_rows
from hydra_ray.pipeline.evaluation import refused_summaries, with_oracles
from hydra_ray.pipeline.job import Pipeline, always_shown
from hydra_ray.pipeline.stage_rows import CUTS
from hydra_ray.pipeline.step_settings import SHARED, first_texts
from hydra_ray.report import AnswerRow, Costs, build_report, write_predictions, write_report

ANSWER_COUNTS = ("answers", "missing_answers", "hit_max_tokens", "degraded", *FAULTS)


def answered_rows(job: Pipeline) -> list[AnswerRow]:
    """Runs whatever is not done yet for every seed and fold: one row per question, with what every method answered."""
    run, config = job.run, job.config
    rows: list[AnswerRow] = []
    for trial in config.protocol.trials:
        evaluated = job.evaluate(trial)
        shared = job.train("adapter", trial).path / SHARED
        adapters: dict[Adapter, tuple[Path, Path | None]] = {"shared": (shared.resolve(), None)}
        for variant in job.variants:
            base, heads = job.base("adapter", trial, variant), job.fit("adapter", trial, variant).path
            adapters[variant or "hydra"] = base.resolve(), heads.resolve()
        one_shot = first_texts(job.oracles(trial).path) if config.evaluate.oracles else None
        steps = [AnsweredStep(evaluated.path.resolve(), always_shown())]
        for name in job.further_methods:
            path, learned = job.method(trial, name).path, job.trained_method(trial, name)
            steps.append(AnsweredStep(path.resolve(), (name,), learned.path.resolve() if learned else None))
        refused = frozenset(refused_summaries(job.summarise(trial).path))
        answering = Answering(config, trial.seed, tuple(steps), adapters, run.embedding_store, refused)
        found = answer_rows(run, answering)
        rows += with_oracles(run.task, found, evaluated.path, config, one_shot)
    return rows


def write_report_step(job: Pipeline, rows: Sequence[AnswerRow]) -> dict[str, Any]:
    """Writes report, predictions and manifest to runs/NAME. rows: of `answered_rows`.

    Where no question has a gold answer (LaMP's test split) there is nothing to report: the predictions alone are
    written, and the result holds just `unscored`, how many questions were answered.
    """
    run, config = job.run, job.config
    training = [job.chosen(trial).train for trial in config.protocol.trials]
    began = time.monotonic()
    counts = read_counts(job.ingest().path)
    lamp_id = counts.get("lamp_id")
    scored = [row for row in rows if row.scored]
    if not scored:
        write_predictions(run.folder / "predictions", run.task, rows, lamp_id)
        return {"unscored": len(rows)}
    report = build_report(
        run.task,
        scored,
        train_users=train_users(training, config.protocol.cross_fitted),
        folds=config.protocol.folds if config.protocol.cross_fitted else None,
        config=config.model_dump(mode="json"),
        costs=costs(job, counts),
        attainable=attainable(job),
        resamples=config.evaluate.bootstrap,
    )
    report["seconds"]["report"] = round(time.monotonic() - began, 3)
    report["this_invocation"] = {"llm_calls": calls_now(job), "seconds": round(time.monotonic() - run.began, 1)}
    report["steps"] = {name: result.key for name, result in job.results.items()}
    report["unscored"] = len(rows) - len(scored)
    write_report(run.folder, report, run.task, rows, lamp_id)
    return report


def train_users(training: Sequence[Sequence[str]], cross_fitted: bool) -> int:
    """How many users were trained on: all seeds' together; with folds, what a fold trains on, in the mean."""
    if cross_fitted:
        return round(sum(map(len, training)) / len(training))
    return len(set().union(*training))


def ledger_counts(job: Pipeline) -> Counts:
    """The run's counts so far, straight from the ledger's file."""
    ledger = ResponseCache(job.run.ledger_file, job.config.name)
    try:
        return ledger.counts()
    finally:
        ledger.close()


def calls_now(job: Pipeline) -> int:
    """LLM calls of this invocation."""
    if job.run.calls_before is None:
        return 0
    return ledger_counts(job).calls - job.run.calls_before


def costs(job: Pipeline, counts: dict[str, Any]) -> Costs:
    """What the run used, by stage where stages know it."""
    seconds: Counter[str] = Counter()
    truncated: Counter[str] = Counter(dict.fromkeys(CUTS, 0))
    by_stage: dict[str, Counter[str]] = defaultdict(Counter)
    answered: dict[str, Counter[str]] = defaultdict(Counter)
    heads: dict[str, Counter[str]] = defaultdict(Counter)
    counted_steps: set[str] = set()
    for label, result in job.results.items():
        # Steps that are the same under two labels were done once.
        if result.key in counted_steps:
            continue
        counted_steps.add(result.key)
        stage, counted = label.split()[0], result.manifest["counts"]
        seconds[stage] += result.manifest["seconds"]
        truncated.update({name: counted.get(name, 0) for name in CUTS})
        if stage.startswith("fit-") and "with_rows" in counted:
            fitted = ("users", "with_rows", "kept_shared_head", "guarded", "reused")
            heads[stage.removeprefix("fit-")].update({name: counted[name] for name in fitted})
        if "requests" in counted:
            calls = counted["requests"] - counted["cached"] - counted["missing_answers"]
            tokens = {name: counted[name] for name in ("prompt_tokens", "completion_tokens")}
            by_stage[stage].update({"calls": calls, "cached": counted["cached"], **tokens})
            answered[stage].update({name: counted.get(name, 0) for name in ANSWER_COUNTS})
    used = ledger_counts(job)
    names = ("calls", "cached", "prompt_tokens", "completion_tokens")
    return Costs(
        llm={**{n: getattr(used, n) for n in names}, "cost": used.cost if job.config.llm.priced else None},
        llm_by_stage=by_stage,
        llm_answers=answered,
        seconds={name: round(value, 3) for name, value in seconds.items()},
        heads=heads,
        rejects=counts.get("rejects", {}),
        warnings=counts.get("warnings", {}),
        truncated=truncated,
    )


def attainable(job: Pipeline) -> dict[str, float] | None:
    """What the synthetic world says is the best anyone can reach."""
    if job.config.data.source != "synthetic":
        return None
    world = json.loads((job.synth().path / "world.json").read_text())
    found: dict[str, float] | None = world.get("attainable")
    return found
