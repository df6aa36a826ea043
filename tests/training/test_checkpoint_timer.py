"""A checkpoint is due an interval after the last."""

import pytest
import torch

from hydra_ray.training import checkpoint_timer
from hydra_ray.training.checkpoint_timer import CheckpointTimer


def test_it_counts_from_the_last_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(checkpoint_timer.time, "monotonic", lambda: now)
    timer = CheckpointTimer(60, torch.device("cpu"), 1)
    now = 159.9
    assert not timer.due()
    now = 160.0
    assert timer.due()
    assert timer.due()  # until one is made
    timer.restart()
    assert not timer.due()
    now = 219.9
    assert not timer.due()
    now = 220.0
    assert timer.due()
