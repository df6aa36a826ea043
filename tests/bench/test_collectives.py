"""Counting what collectives carry, on a process group of one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import distributed

from hydra_ray.bench.collectives import SENT, Collectives, wire_bytes


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collectives]:
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    for module in (distributed, distributed.distributed_c10d):  # put back what is wrapped
        for name in SENT:
            if hasattr(module, name):
                monkeypatch.setattr(module, name, getattr(module, name))
    yield Collectives()
    distributed.destroy_process_group()


def test_the_whole_tensor_counts(counted: Collectives) -> None:
    ten = torch.ones(10)
    distributed.all_reduce(ten)
    distributed.all_reduce(ten.double())
    distributed.broadcast(ten, src=0)
    distributed.all_gather([torch.empty(10)], ten)
    distributed.all_gather_into_tensor(torch.empty(10), ten)
    distributed.barrier()
    assert counted.payload == {"all_reduce": 120, "broadcast": 40, "all_gather": 40, "all_gather_into_tensor": 40}
    assert counted.calls["all_reduce"] == 2


def test_what_crosses_the_wire() -> None:
    payload = {"all_reduce": 100, "all_gather_into_tensor": 100}
    assert wire_bytes(payload, 1) == 0
    assert wire_bytes(payload, 2) == 300
    assert wire_bytes(payload, 4) == 900
