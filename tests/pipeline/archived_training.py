"""A training as a step of a root with an archive, in a process of its own that may be killed.

python -m tests.pipeline.archived_training FOLDER ROOT ARCHIVE: FOLDER holds `encoder` and `ranking_examples`.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra_ray import env
from hydra_ray.config import ModelConfig, TrainConfig
from hydra_ray.config.resources import TrainResources
from hydra_ray.pipeline import run_archive
from hydra_ray.pipeline.run_archive import RunArchive
from hydra_ray.pipeline.step import run_step
from hydra_ray.training.joint.trainer import train
from tests.training.tiny import make_job

EPOCHS = 4


def settings(folder: Path) -> tuple[ModelConfig, TrainConfig]:
    """Of a training of EPOCHS epochs with a checkpoint every other step."""
    model = ModelConfig(encoder=str(folder / "encoder"), pair="bi_encoder", pair_dim=16, max_tokens=32, dropout=0.0)
    return model, TrainConfig(checkpoint_interval_s=0, checkpoint_steps=2, epochs=EPOCHS, batch_size=24)


def main(folder: Path, root: Path, archive: str) -> None:
    """Trains, or goes on."""
    import ray

    def log(line: str) -> None:
        print(line, flush=True)

    def work(partial: Path) -> dict[str, Any]:
        job = make_job(folder, *settings(folder), "linear", (partial / "scratch").resolve())
        return train(replace(job, resources=TrainResources(num_workers=1)), 16, partial, log)

    env.set_defaults()
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    run_archive.SAVE_EVERY_S = 0.2
    run_step(root, "train-reranker", 1, {}, {}, work, log, RunArchive(archive, root, log))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
