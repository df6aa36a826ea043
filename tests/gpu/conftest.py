"""Tests on a real device; skipped where PyTorch sees none."""

import pytest
import torch

from hydra_ray.utils import device as devices


@pytest.fixture
def device() -> torch.device:
    """The device that a worker with a GPU gets."""
    if not devices.has_accelerator():
        pytest.skip("PyTorch sees no accelerator here")
    return devices.worker_device(1.0)
