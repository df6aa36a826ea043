"""Joint training for real: Ray Train, elastic, on a node that dies in mid-epoch; the result is that of a quiet run."""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from ray._private.ray_constants import PROCESS_TYPE_RAYLET

from hydra_ray import env
from hydra_ray.cluster import shutdown_ray
from hydra_ray.config import Config, DataConfig, ModelConfig, TrainConfig
from hydra_ray.config.resources import TrainResources
from hydra_ray.errors import UserError
from hydra_ray.training.artifacts.trained_scorer import TrainedScorer, fingerprint
from hydra_ray.training.artifacts.user_heads import UserHeads
from hydra_ray.training.joint.trainer import train
from tests.training.joint.test_loop_cluster import ATOL, result, train_in_ranks
from tests.training.tiny import USERS, Part, make_encoder, make_job, make_ranking_examples

KIND = "linear"
FAST_NEWS = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 3}
"""A dead node is noticed within seconds instead of half a minute."""


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[Any, Any]]:
    """A cluster of two nodes with a CPU each, and the one that may go."""
    import ray
    from ray.cluster_utils import Cluster

    env.set_defaults()
    # A group that is started while the dead node still counts waits so long for its place there: 60 s by default.
    os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = "8"
    head = {"num_cpus": 1, "include_dashboard": False, "_system_config": FAST_NEWS}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    second = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, logging_level="warning", log_to_driver=False)
    yield cluster, second
    shutdown_ray()
    cluster.shutdown()


def config(encoder: Path, **more: Any) -> Config:
    often = {
        "checkpoint_interval_s": 0,
        "checkpoint_steps": 3,
        "epochs": 5,
        "batch_size": 24,
    }
    return Config(
        data=DataConfig(buckets=16),
        model=ModelConfig(encoder=str(encoder), pair="bi_encoder", pair_dim=16, max_tokens=32, dropout=0.0),
        train=TrainConfig(**often | more),
    )


@pytest.mark.cluster
def test_a_dead_node_costs_the_steps_since_the_last_checkpoint(nodes: tuple[Any, Any], tmp_path: Path) -> None:
    cluster, second = nodes
    wanted = config(make_encoder(tmp_path / "encoder"))
    examples = make_ranking_examples(tmp_path / "ranking_examples")
    scratch, out = tmp_path / "scratch", tmp_path / "out"
    lines: list[str] = []

    def kill() -> None:
        # What Ray Train goes on from is what its controller has noted, up to half a second after it was written.
        while not (scratch / "train" / "checkpoint_manager_snapshot.json").exists():
            time.sleep(0.02)
        (raylet,) = second.all_processes[PROCESS_TYPE_RAYLET]
        # The node's workers die with it. Left alone they end when they miss their raylet, a second or more later.
        for process in psutil.Process(raylet.process.pid).children(recursive=True):
            process.kill()
        cluster.remove_node(second, allow_graceful=False)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    job = make_job(tmp_path, wanted.model, wanted.train, KIND, scratch)
    losses = train(replace(job, resources=TrainResources(num_workers=(1, 2))), 16, out, lines.append)
    killer.join(timeout=1)
    assert not killer.is_alive()
    went_on = [line for line in lines if "continuing after epoch" in line]
    assert len(went_on) == 1, lines
    assert not went_on[0].endswith("epoch 0 step 0"), lines

    quiet = tmp_path / "quiet"
    quiet.mkdir()
    train_in_ranks({1: [Part(make_job(tmp_path, wanted.model, wanted.train, KIND, quiet))]}, tmp_path)
    loss, learned = result(quiet, KIND)
    assert losses["loss_linear"] == pytest.approx(loss, rel=1e-5)
    heads = UserHeads.open(out / KIND, fingerprint(out / KIND))
    assert heads is not None
    assert heads.user_ids == USERS
    for name, value in heads.of(USERS).items():
        assert torch.allclose(value, learned[name], atol=ATOL), name
    assert (out / "metrics" / "metrics-t-linear.jsonl").exists()
    scorer = TrainedScorer.load(out / KIND, out / KIND)
    assert [len(s) for s in scorer.score(examples[:3])] == [6, 6, 6]


@pytest.mark.cluster
def test_a_loss_that_is_no_number_ends_training_with_one_line(nodes: tuple[Any, Any], tmp_path: Path) -> None:
    wanted = config(make_encoder(tmp_path / "encoder"), base_lr=1e30, max_failures=8)
    make_ranking_examples(tmp_path / "ranking_examples")
    job, lines = make_job(tmp_path, wanted.model, wanted.train, KIND, tmp_path / "scratch"), list[str]()
    job = replace(job, resources=TrainResources(num_workers=1))
    with pytest.raises(UserError, match=r"t \(linear\): the loss is (nan|inf) in epoch 1 step \d .*; lower train\."):
        train(job, 16, tmp_path / "out", lines.append)
    assert sum("workers 1" in line for line in lines) == 1, "it was not tried again"
