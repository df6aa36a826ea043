"""Labelling killed with SIGKILL and run again: the same rows, and nothing paid twice but what was in flight."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hydra_ray.pipeline.rows import buckets_of, read_rows
from tests.llm.fake_server import FakeServer

CONCURRENCY = 8


def label(root: Path, url: str) -> "subprocess.Popen[str]":
    command = [
        str(Path(sys.executable).parent / "hydra-ray"), "label", f"root={root}", "name=k", f"llm.base_url={url}",
        "llm.model=m", f"llm.concurrency={CONCURRENCY}", "protocol.train_users=6", "protocol.test_users=4",
        "protocol.pseudo_queries=3", "data.synth.users=20", "data.synth.items=[6,8]",
    ]  # fmt: skip
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    environment.pop("RAY_ADDRESS", None)
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def rows_of(root: Path) -> list[str]:
    (folder,) = [f for f in (root / "steps").glob("label-*") if not f.name.endswith(".partial")]
    return [json.dumps([user, [(r.query_id, r.right, r.answers) for r, _ in rows]])
            for user, _, rows in read_rows(folder, buckets_of(folder))]  # fmt: skip


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_a_killed_labelling_continues_and_pays_no_more_than_what_was_in_flight_twice(
    threaded_server: FakeServer, tmp_path: Path
) -> None:
    threaded_server.delay_s = 0.05
    killed = label(tmp_path / "a", threaded_server.url)
    until = time.monotonic() + 240
    while len(threaded_server.bodies) < 60:
        assert time.monotonic() < until
        assert killed.poll() is None, killed.stdout.read() if killed.stdout else ""
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    time.sleep(2)
    assert not [f for f in (tmp_path / "a" / "steps").glob("label-*") if not f.name.endswith(".partial")]
    again = label(tmp_path / "a", threaded_server.url)
    out, _ = again.communicate(timeout=300)
    assert again.returncode == 0, out[-3000:]
    assert "label: continuing" in out
    paid = len(threaded_server.bodies)
    distinct = len({json.dumps(body, sort_keys=True) for body in threaded_server.bodies})
    assert paid - distinct <= CONCURRENCY
    threaded_server.delay_s = 0.0
    straight = label(tmp_path / "b", threaded_server.url)
    out, _ = straight.communicate(timeout=300)
    assert straight.returncode == 0, out[-3000:]
    assert rows_of(tmp_path / "a") == rows_of(tmp_path / "b")
