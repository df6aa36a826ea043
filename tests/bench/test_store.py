"""The store bench, on a store that is too small to say anything."""

from argparse import Namespace

import pytest

from hydra_ray.bench import store, store_formats


def test_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (store, store_formats):
        monkeypatch.setattr(module, "REPEATS", 1)
    result = store.run(Namespace(users=2_000))
    figure = result["sizes"]["2000"]
    assert result["users"] == [2_000]
    assert result["ratio"] == figure["ratio"] > 0
    assert 3_080 < figure["bytes_per_user"] < 3_500
    assert set(result["formats"]) == {"lance", "parquet", "safetensors"}
    assert all(one["point_reads_ms"] > 0 and one["bytes_per_user"] > 3_080 for one in result["formats"].values())
