"""The memory bench, on a world that is too small to say anything."""

import os
import subprocess
import sys
from argparse import Namespace

import pytest

from hydra_ray.bench.ingest import run
from hydra_ray.bench.memory import PeakMemory


def test_peak_counts_descendants() -> None:
    grow = "import sys; held = bytearray(b'x') * (64 << 20); print(flush=True); sys.stdin.read()"
    shell = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grow!r}])"]
    with subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        with PeakMemory(child.pid) as memory:
            child.stdout.readline()
            assert memory.sample() > 64 << 20
        child.stdin.close()
    assert memory.peak_with_files >= memory.peak > 64 << 20


@pytest.mark.cluster
def test_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "RAY_AUTH_MODE", "disabled")
    result = run(Namespace(max_users=40))
    assert (result["users"], result["ratio"]) == ([40], 1.0)
    figure = result["sizes"]["40"]
    assert 0 < figure["idle_mib"] <= figure["peak_mib"] <= figure["peak_with_files_mib"]
    assert 0 < figure["worker_mib"] < figure["peak_mib"]
