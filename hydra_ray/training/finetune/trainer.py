"""The driver's side of a fine-tuning: rows for the workers, and what they leave made a folder that the engine loads."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from hydra_ray.errors import NothingToLearnError
from hydra_ray.models.model_copy import copy_model
from hydra_ray.training.finetune.finetune_job import FinetuneJob, FinetuneRows, write_rows
from hydra_ray.training.finetune.worker import BEST, SUMMARY

ABOUT, MODEL = "finetuned.json", "model"
"""In the training's folder: what is known of it, and the fine-tuned LLM; there is none where no epoch is better."""


def finetune(job: FinetuneJob, rows: FinetuneRows, out: Path, log: Callable[[str], None]) -> None:
    """Trains on Ray Train's workers and writes the best epoch into `out`.

    Args:
        job: What is trained, and how; its `rows` are written here.
        rows: Of the training users.
        out: Takes `finetuned.json` and the folder `model`.
        log: Gets lines of progress.

    Raises:
        UserError: There are no rows, or a worker fails for good.
    """
    from hydra_ray.training.finetune.worker import train_worker
    from hydra_ray.training.ray_workers import run_workers

    if not rows.learned:
        raise NothingToLearnError(f"{job.name}: no rows of training users to learn from; raise protocol.train_users or "
                                  "protocol.pseudo_queries")  # fmt: skip
    job.scratch.mkdir(parents=True, exist_ok=True)
    write_rows(rows, job.rows)
    run_workers(train_worker, job, job.train, job.resources, job.name, job.scratch, log)
    keep_result(job, out)


def keep_result(job: FinetuneJob, out: Path) -> dict[str, Any]:
    """Makes what the workers left the artifact in `out`; what it says of the training."""
    from safetensors.torch import load_file

    about: dict[str, Any] = json.loads((job.result / SUMMARY).read_text())
    shutil.rmtree(out / MODEL, ignore_errors=True)  # of an attempt that was cut short here
    if about["best_epoch"]:
        weights = load_file(job.result / BEST)
        copy_model(job.base, lambda model: _put(model, weights), out / MODEL)
    (out / ABOUT).write_text(json.dumps(about, indent=2))
    return about


def _put(model: Any, weights: Mapping[str, Tensor]) -> None:
    """Sets the model's weights, rounded to its own format. Tied ones have one name."""
    for name, parameter in model.named_parameters():
        parameter.copy_(weights[name].to(parameter.dtype))
