"""Heads of users on a frozen base: a Ray Data pipeline over buckets, published as one version of the head store.

A bucket's pair embeddings are computed once and kept for later runs, its users are fitted as batched problems, its
heads are written as a part of the store, and its record says that it is done. A killed step goes on with the next
bucket. The run's own process fits a few users in the same way.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra_ray.config.head_kinds import head_kind
from hydra_ray.config.resources import ray_options
from hydra_ray.errors import UserError
from hydra_ray.pipeline.fit_buckets import Buckets, FitBuckets, MixBuckets
from hydra_ray.pipeline.fit_records import Previous, count_fitted, record_file
from hydra_ray.pipeline.fit_spec import FitSpec
from hydra_ray.pipeline.llm_rows import FEW
from hydra_ray.pipeline.ranking_examples import chunks
from hydra_ray.pipeline.run_context import RunContext
from hydra_ray.training.artifacts.user_heads import new_store
from hydra_ray.training.user_fit.solver import Tuned
from hydra_ray.utils.cpu import one_thread
from hydra_ray.utils.ray_data import actor_pool
from hydra_ray.utils.ray_errors import unwrap_user_errors


def fit_users(run: RunContext, fit: FitSpec, tuned: Tuned, out: Path) -> dict[str, Any]:
    """Fits the heads of all chosen users and publishes them in `out`; returns counts and times, and what was tuned.

    tuned: how (`hydra_ray.pipeline.tune_heads`); nothing for kinds that a router makes.

    fit_s: seconds from the first bucket's beginning to the published version; publish_s: those of them that publishing
    took. cpu_s: processor seconds of fitting and of publishing. All of this attempt alone.
    Raises UserError for what could not be used; finished buckets stay.
    """
    scorer = fit.scorer()
    if not scorer.scorer.head.delta_shapes():
        return {"users": 0}
    spec = fit.spec(scorer)
    if fit.previous:
        Previous(fit.previous, spec)
    store = new_store(out, spec)
    scratch = out / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    buckets = list(fit.by_bucket())
    left = [bucket for bucket in buckets if not record_file(out, bucket).exists()]
    if len(left) < len(buckets):
        run.log(f"fit-{fit.component}: {len(buckets) - len(left)} of {len(buckets)} buckets are done already")
    began, cpu_s = time.time(), 0.0
    if left:
        worker = MixBuckets if head_kind(fit.kind).routed else FitBuckets
        try:
            if len(fit.chosen) <= FEW and run.config.in_driver(run.config.resources.fit):
                with one_thread():
                    done = [_first_row(worker(fit, tuned, out)({"buckets": [left]}))]
            else:
                done = _on_workers(run, worker, (fit, tuned, out), left)
        except UserError as mistake:
            raise UserError(f"fit-{fit.component}: {mistake}") from None
        began, cpu_s = min(row["began"] for row in done), sum(row["cpu_s"] for row in done)
    fitted, worked = time.time(), time.process_time()
    store.publish([json.loads(record_file(out, bucket).read_text()) for bucket in buckets], replace=True)
    ended = time.time()
    times = {"fit_s": ended - began, "publish_s": ended - fitted, "cpu_s": cpu_s + time.process_time() - worked}
    counts = count_fitted(out)
    run.log(
        f"fit-{fit.component}: {counts['users']} users in {times['fit_s']:.1f} s, {counts['kept_shared_head']} keep "
        "the shared head"
    )
    return {**counts, **{name: round(value, 3) for name, value in times.items()}, **tuned}


def _on_workers(
    run: RunContext, worker: type[Buckets], given: tuple[FitSpec, Tuned, Path], buckets: Sequence[int]
) -> list[dict[str, Any]]:
    """A row for each of the workers' calls. given: what a worker is made with."""
    import ray

    run.ray()
    wanted = run.config.resources.fit
    workers = run.workers(wanted)
    parts = chunks(buckets, max(4, workers[1] * 4))
    with unwrap_user_errors():
        rows = ray.data.from_items([{"buckets": part} for part in parts]).map_batches(
            worker, fn_constructor_args=given, batch_size=1, compute=actor_pool(workers), **ray_options(wanted)
        )
        return list(rows.take_all())


def _first_row(columns: dict[str, Any]) -> dict[str, Any]:
    return {name: values[0] for name, values in columns.items()}
