"""Where training metrics go: a JSONL file always, and the experiment trackers that `train.trackers` names."""

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from hydra_ray.errors import UserError

PACKAGES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}
"""Tracker -> the module that it needs."""


class Tracker(Protocol):
    """Takes metrics of one run."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics at an optimiser step; steps ascend."""

    def close(self) -> None:
        """Nothing follows."""


def check_trackers(names: Sequence[str]) -> None:
    """Raises UserError if a tracker's package is not installed."""
    for name in names:
        if find_spec(PACKAGES[name]) is None:
            raise UserError(f"train.trackers: {name} needs the package {PACKAGES[name]}; install it or leave it out")


def metrics_file(folder: Path, run: str) -> Path:
    """Where a run's metrics are always kept."""
    return folder / f"metrics-{run.replace(' ', '-')}.jsonl"


def make_tracker(names: Sequence[str], folder: Path, run: str, config: Mapping[str, Any], step: int = 0) -> Tracker:
    """All trackers as one. folder: takes metrics-RUN.jsonl and TensorBoard's files. step: a resumed run's; what was
    logged after it is logged again, so those lines are dropped."""
    makers: dict[str, Callable[[Path, str, Mapping[str, Any]], Tracker]]
    makers = {"tensorboard": TensorBoardTracker, "mlflow": MLflowTracker, "wandb": WandBTracker}
    return CompositeTracker(
        [JsonlTracker(metrics_file(folder, run), step), *[makers[name](folder, run, config) for name in names]]
    )


class CompositeTracker:
    """Several trackers as one."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = trackers

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """See Tracker."""
        for tracker in self._trackers:
            tracker.log(step, metrics)

    def close(self) -> None:
        """See Tracker."""
        for tracker in self._trackers:
            tracker.close()


class JsonlTracker:
    """One JSON object a line: `step` and the metrics."""

    def __init__(self, file: Path, step: int) -> None:
        self._file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = file.read_text().splitlines() if file.exists() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        file.write_text("".join(f"{line}\n" for line in kept))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """See Tracker."""
        with self._file.open("a") as stream:
            stream.write(json.dumps({"step": step, **metrics}) + "\n")

    def close(self) -> None:
        """See Tracker."""


class TensorBoardTracker:
    """Event files under `tensorboard/RUN`."""

    def __init__(self, folder: Path, run: str, config: Mapping[str, Any]) -> None:
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard" / run))
        self._writer.add_text("config", json.dumps(config))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """See Tracker."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """See Tracker."""
        self._writer.close()


class MLflowTracker:
    """A run of the tracking server that MLflow's own environment variables name."""

    def __init__(self, folder: Path, run: str, config: Mapping[str, Any]) -> None:
        import mlflow

        self._mlflow = mlflow
        mlflow.start_run(run_name=run)
        mlflow.log_params(dict(config))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """See Tracker."""
        self._mlflow.log_metrics(dict(metrics), step=step)

    def close(self) -> None:
        """See Tracker."""
        self._mlflow.end_run()


class WandBTracker:
    """A run of the project that Weights & Biases' own environment variables name."""

    def __init__(self, folder: Path, run: str, config: Mapping[str, Any]) -> None:
        import wandb

        self._run = wandb.init(name=run, config=dict(config), dir=str(folder))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """See Tracker."""
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        """See Tracker."""
        self._run.finish()
