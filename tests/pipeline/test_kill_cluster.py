"""A run killed with SIGKILL in mid labelling and started again: the same predictions, and nothing paid twice but what
was in flight."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hydra_ray.core.draws import stable_seed
from hydra_ray.core.tasks import load_task
from hydra_ray.pipeline.rows import buckets_of, read_rows
from tests.llm.fake_server import FakeServer, completion

CONCURRENCY = 8


def run(root: Path, url: str) -> "subprocess.Popen[str]":
    command = [
        str(Path(sys.executable).parent / "hydra-ray"), "run", f"root={root}", "name=k", f"llm.base_url={url}",
        "llm.model=m", f"llm.concurrency={CONCURRENCY}", "protocol.train_users=6", "protocol.test_users=4",
        "protocol.pseudo_queries=3", "data.synth.users=20", "data.synth.items=[6,8]",
        "train.epochs=2", "train.workers=1", "evaluate.bootstrap=100",
    ]  # fmt: skip
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    environment.pop("RAY_ADDRESS", None)
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def some_label(_: int, body: dict[str, Any]) -> web.Response:
    """Labels drawn from the prompt, so that answers are right and wrong, but the same for the same call."""
    labels = load_task("synthetic_tagging").labels
    return completion([labels[stable_seed(json.dumps(body), i) % len(labels)] for i in range(body.get("n", 1))])


def rows_of(root: Path) -> list[str]:
    (folder,) = [f for f in (root / "steps").glob("label-*") if not f.name.endswith(".partial")]
    return [json.dumps([user, [(r.query_id, r.right, r.answers) for r, _ in rows]])
            for user, _, rows in read_rows(folder, buckets_of(folder))]  # fmt: skip


def predictions_of(root: Path) -> dict[str, str]:
    found = {str(file.relative_to(root)): file.read_text() for file in (root / "k" / "predictions").rglob("*.json")}
    assert found
    return found


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_a_killed_run_predicts_the_same_and_pays_no_more_than_what_was_in_flight_twice(
    threaded_server: FakeServer, tmp_path: Path
) -> None:
    threaded_server.script = some_label
    threaded_server.delay_s = 0.05
    killed = run(tmp_path / "a", threaded_server.url)
    until = time.monotonic() + 240
    while len(threaded_server.bodies) < 60:
        assert time.monotonic() < until
        assert killed.poll() is None, killed.stdout.read() if killed.stdout else ""
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    time.sleep(2)
    assert not [f for f in (tmp_path / "a" / "steps").glob("label-*") if not f.name.endswith(".partial")]
    again = run(tmp_path / "a", threaded_server.url)
    out, _ = again.communicate(timeout=300)
    assert again.returncode == 0, out[-3000:]
    assert "label: continuing" in out
    paid = len(threaded_server.bodies)
    distinct = len({json.dumps(body, sort_keys=True) for body in threaded_server.bodies})
    assert paid - distinct <= CONCURRENCY
    threaded_server.delay_s = 0.0
    straight = run(tmp_path / "b", threaded_server.url)
    out, _ = straight.communicate(timeout=300)
    assert straight.returncode == 0, out[-3000:]
    assert rows_of(tmp_path / "a") == rows_of(tmp_path / "b")
    assert predictions_of(tmp_path / "a") == predictions_of(tmp_path / "b")
