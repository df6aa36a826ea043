"""The LoRA bench at a size that says nothing about time."""

from argparse import Namespace

import pytest
import torch

from hydra_ray.bench import lora

NO_PEFT = 'peft is not installed (pip install --no-deps "peft==0.21.2" accelerate)'


def test_both_sides_agree_and_every_figure_is_there() -> None:
    pytest.importorskip("peft", reason=NO_PEFT)
    result = lora.run(Namespace(users=3, items=2, repeats=1))
    assert result["difference"] < lora.TOLERANCE
    assert all(rate > 0 for rate in result["users_per_s"].values())
    assert (result["users"], result["rows_per_user"], result["steps_per_user"]) == (3, 2, 2)
    assert result["numbers_per_user"] == 16_384
    assert result["ratio"] > 0
    assert result["workers_ratio"] > 0
    assert result["users_per_s"].keys() == {"ours", "workers", "peft"}


def test_a_wrong_side_is_noticed() -> None:
    right = {"a": {"w": torch.zeros(2)}}
    assert lora.apart(right, right) == 0
    for wrong in (1e-3, float("nan")):
        with pytest.raises(RuntimeError, match="differ"):
            lora.apart(right, {"a": {"w": torch.full((2,), wrong)}})
    with pytest.raises(RuntimeError, match="the same users: 1 and 0"):
        lora.apart(right, {})
