"""The keys of a main job's steps."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hydra_ray.config import Config
from hydra_ray.core.sampling import Trial, UserSample
from hydra_ray.core.tasks import load_task
from hydra_ray.pipeline.job import Pipeline
from hydra_ray.pipeline.step import StepResult, step_key


def make_job(folder: Path, **changes: Any) -> tuple[Pipeline, dict[str, Any]]:
    """A job whose steps are not done, and the configs of those that it was asked for."""
    asked: dict[str, Any] = {}

    def step(name: str, code: int, config: dict[str, Any], inputs: dict[str, str], work: Any) -> StepResult:
        asked[name] = config
        asked.setdefault("inputs", []).append((name, inputs))
        return StepResult(folder / step_key(name, code, config, inputs), {"counts": {"start": "joint"}}, False)

    config = Config.model_validate(changes)
    run = SimpleNamespace(
        archive=None,
        config=config,
        identity="m",
        task=load_task(config.data.task),
        root=folder,
        embedding_store=None,
        step=step,
    )
    job = Pipeline(run)  # type: ignore[arg-type]
    job._chosen[Trial(0)] = UserSample(("a",), ("b",), {"a": "train", "b": "test"})
    job.ingest = lambda: StepResult(folder / "ingest", {}, True)  # type: ignore[method-assign]
    return job, asked
