"""A fine-tuning by one worker in this process, and the same training written out."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hydra_ray.config import TrainConfig
from hydra_ray.config.finetune import FinetuneConfig
from hydra_ray.training.finetune.finetune_job import FinetuneJob, FinetuneRows, write_rows
from hydra_ray.training.finetune.trainer import keep_result
from hydra_ray.training.finetune.worker import FinetuneWorker
from hydra_ray.training.joint.replicated_engine import MAX_NORM
from hydra_ray.training.user_lora.rows import TokenRow

SETTINGS = {"lr": 3e-3, "epochs": 3, "batch_rows": 4, "warmup": 0.2, "max_tokens": 200}


def make_job(folder: Path, base: Path, rows: FinetuneRows, train: Any = None, **settings: Any) -> FinetuneJob:
    folder.mkdir(parents=True)
    job = FinetuneJob(
        base, folder / "rows.parquet", FinetuneConfig.model_validate({**SETTINGS, **settings}),
        TrainConfig.model_validate({"checkpoint_interval_s": 0, **(train or {})}), "finetuned", 3, folder,
    )  # fmt: skip
    write_rows(rows, job.rows)
    return job


def trained(job: FinetuneJob, start: Path | None = None, keep: Path | None = None) -> dict[str, Any]:
    """What is said of the training. keep: takes the first epoch's checkpoint."""

    def report(metrics: dict[str, float], folder: Path) -> None:
        assert metrics["loss"] > 0
        if keep is not None and not keep.exists():
            shutil.copytree(folder, keep)

    FinetuneWorker(job, 0, 1).run(start, report)
    return keep_result(job, job.scratch)


def plain(
    job: FinetuneJob, rows: FinetuneRows, model: Any, loss_of: Callable[[Any, Sequence[TokenRow]], Tensor]
) -> dict[str, Tensor]:
    """The same training, written out. loss_of: the mean over the rows' learned tokens."""
    model, plan = model.requires_grad_(True).train(), FinetuneWorker(job, 0, 1).plan
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=job.config.weight_decay)
    for step in range(plan.steps):
        optimizer.param_groups[0]["lr"] = job.config.lr * plan.rate(step)
        loss_of(model, [rows.learned[i] for i in plan.batch(step)]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
        optimizer.step()
        optimizer.zero_grad()
    return {name: value.detach() for name, value in model.named_parameters()}
