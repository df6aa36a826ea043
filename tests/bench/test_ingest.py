"""The memory bench, on a world that is too small to say anything."""

import os
from argparse import Namespace

import pytest

from hydra_ray.bench.ingest import run


@pytest.mark.cluster
def test_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "RAY_AUTH_MODE", "disabled")
    result = run(Namespace(max_users=40))
    assert (result["users"], result["ratio"]) == ([40], 1.0)
    figure = result["sizes"]["40"]
    assert 0 < figure["idle_mib"] <= figure["peak_mib"] <= figure["peak_with_files_mib"]
    assert 0 < figure["worker_mib"] < figure["peak_mib"]
