"""Draws that belong to the row."""

import pytest
import torch

from hydra_ray.models.lora.counted_dropout import counted_dropout

KEYS = torch.tensor([5, 99, -7], dtype=torch.int32)


@pytest.mark.parametrize("width", [64, 7])
def test_the_share_and_the_mean(width: int) -> None:
    keys = torch.arange(200, dtype=torch.int32) * 7919
    kept = counted_dropout(torch.ones(200, 30, width), 0.25, keys, 0)
    assert float((kept == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert float(kept.mean()) == pytest.approx(1, abs=0.01)
    # Neither positions nor features nor rows are dropped as a whole.
    for dims in ((0, 1), (0, 2), (1, 2)):
        assert float(kept.mean(dims).std()) < 0.1


def test_a_rows_draws_depend_on_nothing_else() -> None:
    x = torch.ones(3, 10, 32)
    whole = counted_dropout(x, 0.5, KEYS, 1)
    assert torch.equal(counted_dropout(x[1:2, :6], 0.5, KEYS[1:2], 1), whole[1:2, :6])
    agree = [float((whole[0] == whole[b]).float().mean()) for b in (1, 2)]
    agree.append(float((whole == counted_dropout(x, 0.5, KEYS, 2)).float().mean()))
    assert agree == pytest.approx([0.5] * 3, abs=0.1)


def test_none() -> None:
    x = torch.ones(3, 2, 4)
    assert counted_dropout(x, 0.0, KEYS, 0) is x
