"""A training whose cluster and root are gone goes on under another root, from what the archive has of it."""

import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from hydra_ray.pipeline.step import step_key
from hydra_ray.training.artifacts.trained_scorer import fingerprint
from hydra_ray.training.artifacts.user_heads import UserHeads
from tests.pipeline.archived_training import settings
from tests.training.joint.test_loop_cluster import ATOL, result, train_in_ranks
from tests.training.tiny import USERS, Part, make_encoder, make_job, make_ranking_examples


def start(folder: Path, root: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.pipeline.archived_training"]
    return subprocess.Popen(
        [*command, str(folder), str(folder / root), f"file://{folder}/archive"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.cluster
def test_a_killed_training_goes_on_under_another_root(tmp_path: Path) -> None:
    make_encoder(tmp_path / "encoder")
    make_ranking_examples(tmp_path / "ranking_examples")
    first, key = start(tmp_path, "one"), step_key("train-reranker", 1, {}, {})
    current = tmp_path / "archive" / "unfinished" / key / "current.json"
    while first.poll() is None and not (current.exists() and "checkpoint_manager_snapshot" in current.read_text()):
        time.sleep(0.05)
    for process in [*psutil.Process(first.pid).children(recursive=True), first]:
        process.kill()
    before, _ = first.communicate()
    assert not (tmp_path / "archive" / "steps").exists(), before

    lines, _ = start(tmp_path, "other").communicate(timeout=300)
    assert f"train-reranker: going on from what the archive has of it ({key})" in lines
    ((epoch, step),) = re.findall(r"continuing after epoch (\d+) step (\d+)", lines)
    assert (epoch, step) != ("0", "0")
    assert not current.exists()

    quiet = tmp_path / "quiet"
    quiet.mkdir()
    train_in_ranks({1: [Part(make_job(tmp_path, *settings(tmp_path), "linear", quiet))]}, tmp_path)
    _, learned = result(quiet, "linear")
    out = tmp_path / "other" / "steps" / key / "linear"
    heads = UserHeads.open(out, fingerprint(out))
    assert heads is not None
    for name, value in heads.of(USERS).items():
        assert torch.allclose(value, learned[name], atol=ATOL), name
