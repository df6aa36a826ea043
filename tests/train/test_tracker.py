import json
from pathlib import Path

import pytest

from hydra_ray.errors import UserError
from hydra_ray.train.tracker import check_trackers, make_tracker


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


def test_a_tracker_that_is_not_installed_is_named() -> None:
    with pytest.raises(UserError, match=r"train\.trackers: wandb needs the package wandb"):
        check_trackers(("wandb",))
