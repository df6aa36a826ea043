"""The driver's side of a retriever's training: lists for the workers, and what they leave made an artifact."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra_ray.core.rewards import RewardedList
from hydra_ray.training.artifacts.trained_retriever import save_retriever
from hydra_ray.training.ray_workers import run_workers
from hydra_ray.training.retriever.lists import split_lists, write_lists
from hydra_ray.training.retriever.retriever_job import RetrieverJob


def train_retriever(
    job: RetrieverJob, lists: Sequence[RewardedList], out: Path, log: Callable[[str], None] = print
) -> dict[str, Any]:
    """Trains a retriever on Ray Train's workers and writes it into `out`.

    Args:
        job: What is trained, and how; its `lists` are written here.
        lists: Of the training users.
        out: Takes the artifact (`hydra_ray.training.artifacts.trained_retriever`).
        log: Gets lines of progress.

    Returns:
        What the artifact says of the training: queries by kind, held-out NDCG before and after, the chosen epoch.

    Raises:
        UserError: Nothing can be learned from the lists, or a worker fails for good.
    """
    split = split_lists(job.name, lists, job.ropg.holdout, job.seed, job.ropg.objective == "released")
    equal = sum(not one.teaches for one in lists)
    log(f"{job.name}: {len(lists)} queries, {equal} of them answered equally well after every item")
    job.scratch.mkdir(parents=True, exist_ok=True)
    write_lists(split, job.lists)
    from hydra_ray.training.retriever.worker import train_worker

    run_workers(train_worker, job, job.train, job.resources, job.name, job.scratch, log)
    return keep_result(job, len(lists), equal, out)


def keep_result(job: RetrieverJob, queries: int, equal: int, out: Path) -> dict[str, Any]:
    """Makes what the workers left the artifact in `out`; what it says of the training."""
    from safetensors.torch import load_file

    from hydra_ray.training.joint.engine_state import WEIGHTS
    from hydra_ray.training.retriever.worker import SUMMARY

    learned = json.loads((job.result / SUMMARY).read_text())
    chosen = learned["best_trial"]
    about = {
        "goal": job.goal,
        "objective": job.ropg.objective,
        "queries": queries,
        "equal_queries": equal,
        "ndcg_untrained": learned["start"],
        "ndcg": learned["best"],
        "epoch": learned["best_epoch"],
        "teacher_temperature": None if chosen is None else job.temperatures[chosen],
        "epochs": learned["epochs"],
    }
    save_retriever(out, job.model, load_file(job.result / WEIGHTS), about)
    return about
