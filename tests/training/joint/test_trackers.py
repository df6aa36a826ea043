import json
import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import pytest

from hydra_ray.errors import UserError
from hydra_ray.training.joint.trackers import check_trackers, make_tracker


def test_what_a_resumed_run_logs_again_is_dropped(tmp_path: Path) -> None:
    for start, steps in ((0, (1, 2, 3)), (2, (3, 4))):
        tracker = make_tracker((), tmp_path, "run", {}, start)
        for step in steps:
            tracker.log(step, {"loss": step / 10 + start})
        tracker.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics-run.jsonl").read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(1, 0.1), (2, 0.2), (3, 2.3), (4, 2.4)]


def test_a_line_that_a_killed_run_cut_off_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "metrics-run.jsonl").write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "lo')
    make_tracker((), tmp_path, "run", {}, 5).log(6, {"loss": 0.25})
    assert len((tmp_path / "metrics-run.jsonl").read_text().splitlines()) == 2


def test_tensorboard_gets_every_metric(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    tracker = make_tracker(("tensorboard",), tmp_path, "run", {"epochs": 2})
    tracker.log(1, {"loss": 0.5})
    tracker.close()
    (file,) = (tmp_path / "tensorboard" / "run").glob("events*")
    assert b"loss" in file.read_bytes()


class StandIn(ModuleType):
    """A library that is not installed. calls: what it was called with."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)
        self.calls: list[tuple[Any, ...]] = []


class MLflow(StandIn):
    """The functions of mlflow 3.17 that we call, with its first parameters."""

    def start_run(
        self,
        run_id: str | None = None,
        experiment_id: str | None = None,
        run_name: str | None = None,
        nested: bool = False,
    ) -> None:
        self.calls.append(("start_run", run_name))

    def log_params(self, params: dict[str, Any], synchronous: bool | None = None) -> None:
        self.calls.append(("log_params", params))

    def log_metrics(self, metrics: dict[str, float], step: int | None = None, synchronous: bool | None = None) -> None:
        self.calls.append(("log_metrics", metrics, step))

    def end_run(self, status: str = "FINISHED") -> None:
        self.calls.append(("end_run", status))


class WandB(StandIn):
    """`init` of wandb 0.31 and the methods of its run that we call, with their first parameters."""

    def init(
        self,
        entity: str | None = None,
        project: str | None = None,
        dir: str | None = None,
        id: str | None = None,
        name: str | None = None,
        config: dict[str, Any] | str | None = None,
    ) -> "WandB":
        assert Path(dir or "").is_dir()  # else it writes elsewhere
        self.calls.append(("init", name, config))
        return self

    def log(self, data: dict[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        self.calls.append(("log", data, step))

    def finish(self, exit_code: int | None = None) -> None:
        self.calls.append(("finish", exit_code))


def test_mlflow_and_wandb_get_every_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow, wandb = MLflow("mlflow"), WandB("wandb")
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    check_trackers(("mlflow", "wandb"))
    tracker = make_tracker(("mlflow", "wandb"), tmp_path / "metrics", "run", MappingProxyType({"epochs": 2}), 3)
    tracker.log(4, MappingProxyType({"loss": 0.5}))
    tracker.close()
    settings, metrics = {"epochs": 2}, {"loss": 0.5}
    assert mlflow.calls == [
        ("start_run", "run"),
        ("log_params", settings),
        ("log_metrics", metrics, 4),
        ("end_run", "FINISHED"),
    ]
    assert wandb.calls == [("init", "run", settings), ("log", metrics, 4), ("finish", None)]
    # Neither library takes another kind of mapping.
    assert all(type(part) is dict for call in mlflow.calls + wandb.calls for part in call if isinstance(part, Mapping))


def test_a_tracker_that_is_not_installed_is_named() -> None:
    with pytest.raises(UserError, match=r"train\.trackers: wandb needs the package wandb"):
        check_trackers(("wandb",))
