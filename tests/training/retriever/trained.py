"""A small retriever, trained in this process."""

import shutil
from pathlib import Path
from typing import Any

from hydra_ray.config import ModelConfig, RopgConfig, TrainConfig
from hydra_ray.core.rewards import RewardedList
from hydra_ray.training.retriever.lists import split_lists, write_lists
from hydra_ray.training.retriever.retriever_job import RetrieverJob
from hydra_ray.training.retriever.trainer import keep_result
from hydra_ray.training.retriever.worker import RetrieverWorker
from tests.training.tiny import WORDS

WANTED = dict(zip(WORDS, [*WORDS[1:], WORDS[0]], strict=True))
"""Query -> the item that helps the LLM: never the one that is most alike."""


def lists() -> list[RewardedList]:
    """Each word as a query of four users; the next word is the one that helps."""
    return [
        RewardedList(f"u{i % 4}", f"{word} text", tuple(f"{w} thing" for w in WORDS),
                     tuple(float(w == WANTED[word]) for w in WORDS))
        for i in range(4) for word in WORDS
    ]  # fmt: skip


def make_job(folder: Path, encoder: Path, goal: Any = "kd", **ropg: Any) -> RetrieverJob:
    settings = {"epochs": 20, "batch_queries": 8, "lr": 0.02, "encoder_lr": 0.01, "teacher_temperatures": [0.2], **ropg}
    model = ModelConfig(encoder=str(encoder), max_tokens=32)
    job = RetrieverJob(
        model, RopgConfig(**settings), TrainConfig(checkpoint_interval_s=0), goal, folder / "lists.parquet", "ropg", 0,
        folder, None,
    )  # fmt: skip
    folder.mkdir(exist_ok=True)
    write_lists(split_lists("ropg", lists(), 0.25, 0, equal_ones=False), job.lists)
    return job


def trained(job: RetrieverJob, start: Path | None = None, keep: Path | None = None) -> dict[str, Any]:
    """What the artifact says. keep: takes the checkpoint after the third epoch."""
    taken = 0

    def report(metrics: dict[str, float], folder: Path) -> None:
        nonlocal taken
        taken += 1
        if keep is not None and taken == 3:
            shutil.copytree(folder, keep)

    RetrieverWorker(job, 0, 1).run(start, report)
    out = job.scratch / "out"
    out.mkdir()
    return keep_result(job, 32, 0, out)
