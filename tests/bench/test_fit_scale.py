"""The users that the bench fits, and the bench itself on a number of them that says nothing."""

import os
from argparse import Namespace

import pytest

from hydra_ray.bench import fit_scale


@pytest.mark.cluster
def test_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "RAY_AUTH_MODE", "disabled")
    result = fit_scale.run(Namespace(sizes=(40,), kinds=("linear",), encoded=0))
    assert (result["users"], result["ratio"], result["memory_ratio"]) == ([40], 1.0, 1.0)
    figure = result["kinds"]["linear"]["40"]
    assert figure["runs"] == fit_scale.REPEATS
    assert figure["buckets"] == 1
    assert figure["fit_s"] > figure["publish_s"] > 0
    assert figure["start_s"] > 0
    assert figure["cpu_s_per_1000"] > 0
    assert 0 <= figure["kept_shared_head"] < 1
    # 138 numbers of four bytes; forty users share the store's fixed bytes.
    assert 552 < figure["bytes_per_user"] < 2_000
    assert 0 < figure["idle_mib"] <= figure["peak_mib"]
    assert figure["worker_mib"] > 0
