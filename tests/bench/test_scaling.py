"""The scaling bench on a random BERT and few steps: what it counts, not how fast it is."""

from argparse import Namespace
from pathlib import Path

import pytest

from hydra_ray.bench import scaling
from tests.training.tiny import make_encoder


@pytest.mark.cluster
def test_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "BATCH", 32)
    monkeypatch.setattr(scaling, "WIRE_USERS", (3, 9))
    monkeypatch.setattr(scaling, "WIRE_KINDS", ("linear", "low_rank"))
    encoder = make_encoder(tmp_path / "encoder")
    result = scaling.run(Namespace(repeats=1, steps=2, encoder=str(encoder), max_tokens=32))
    assert list(result["cases"]) == ["trained", "frozen", "concepts", "concepts_deepspeed"]
    for case in result["cases"].values():
        assert case["ratio"] == pytest.approx(case["2"]["steps_per_s"] / case["1"]["steps_per_s"], abs=1e-2)
        assert case["1"]["sent_mib"] == 0 < case["2"]["sent_mib"]
        assert 0 < case["balance"] <= 1
    trained, frozen = result["cases"]["trained"]["2"], result["cases"]["frozen"]["2"]
    assert trained["sent_mib"] > 2 * frozen["sent_mib"]
    concepts, deepspeed = result["cases"]["concepts"], result["cases"]["concepts_deepspeed"]
    assert result["without_deepspeed"]["2"] == pytest.approx(
        concepts["2"]["steps_per_s"] / deepspeed["2"]["steps_per_s"], abs=1e-2
    )
    # One all-reduce of the gradients; DeepSpeed's gathers the updated weights besides.
    assert list(concepts["2"]["payload_mib"]) == ["all_reduce"]
    assert concepts["2"]["sent_mib"] < deepspeed["2"]["sent_mib"]
    wire = result["wire"]
    # Users' heads cross no wire: their number does not change the bytes.
    for kind in scaling.WIRE_KINDS:
        assert wire[f"{kind}, 3 users"] == wire[f"{kind}, 9 users"]
    # All-reduced between two workers: the 64 x 8 numbers of `low_rank` that all users share.
    assert wire["low_rank, 3 users"] - wire["linear, 3 users"] == 2 * 64 * 8 * 4
