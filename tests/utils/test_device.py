"""A worker's device is decided in one place, from what the worker was promised."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

import hydra_ray
from hydra_ray.errors import UserError
from hydra_ray.utils import device as devices
from hydra_ray.utils.device import (
    CPU,
    free_memory,
    halved_once,
    is_out_of_memory,
    memory_share,
    seed_draws,
    worker_device,
)

PACKAGE = Path(hydra_ray.__file__).parent
DECIDES = re.compile(r"(cuda|xpu|mps|accelerator)\.(is_available|current_device|device_count|current_accelerator)")


def test_a_worker_without_a_gpu_computes_on_the_cpu_whatever_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    assert worker_device(0) == CPU


@pytest.mark.parametrize("num_gpus", [0.25, 1, 4])
def test_a_promised_gpu_is_the_device(monkeypatch: pytest.MonkeyPatch, num_gpus: float) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "current_device_index", lambda: 0)
    assert worker_device(num_gpus) == torch.device("cuda", 0)


def test_a_promised_gpu_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    with pytest.raises(
        UserError, match=r"^a worker was promised a GPU \(num_gpus=0.5\) and PyTorch \S+ sees none on this "
    ):
        worker_device(0.5)


def test_nothing_else_in_the_package_decides_for_itself() -> None:
    deciding = {str(file.relative_to(PACKAGE)) for file in PACKAGE.rglob("*.py") if DECIDES.search(file.read_text())}
    assert deciding == {"utils/device.py"}


@pytest.mark.parametrize(
    ("free", "used", "num_gpus", "expected"),
    [(80, 0, 1, 68), (80, 0, 4, 68), (80, 0, 0.25, 17), (10, 0, 0.5, 8), (60, 20, 0.25, 0), (70, 10, 0.5, 25)],
)
def test_a_workers_share_of_a_device(free: int, used: int, num_gpus: float, expected: int) -> None:
    assert memory_share(free, 80, used, num_gpus) == expected


def test_the_cpus_memory_is_shared_by_a_nodes_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Memory:
        available = 1000

    monkeypatch.setattr(devices.psutil, "virtual_memory", Memory)
    assert (free_memory(CPU, 0), free_memory(CPU, 0, workers=2)) == (850, 425)


def test_what_out_of_memory_looks_like() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


class Limited:
    """Doubles numbers, as many at once as there is room for."""

    def __init__(self, room: int) -> None:
        self.room, self.batches = room, list[int]()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(len(numbers))
        if len(numbers) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [2 * number for number in numbers]


def test_a_batch_without_room_is_halved_once() -> None:
    work = Limited(3)
    assert halved_once(work, [1, 2, 3, 4, 5], CPU, "give more") == [2, 4, 6, 8, 10]
    assert work.batches == [5, 3, 2]


@pytest.mark.parametrize(("room", "items", "half"), [(2, 6, 3), (0, 1, 1)])
def test_without_room_for_half_it_is_one_line(room: int, items: int, half: int) -> None:
    with pytest.raises(UserError) as error:
        halved_once(Limited(room), range(items), CPU, "give more")
    assert str(error.value) == f"out of memory on cpu with {half} at once, half of a batch of {items}: give more"


def test_other_errors_pass() -> None:
    def fail(numbers: Sequence[int]) -> list[int]:
        raise RuntimeError("shapes")

    with pytest.raises(RuntimeError, match="shapes"):
        halved_once(fail, [1], CPU, "give more")


def test_draws_follow_from_the_seed_as_pytorchs_own_do_and_keep_nothing() -> None:
    torch.manual_seed(-7)
    expected = torch.rand(3)
    queued = len(torch.cuda._queued_calls)
    seed_draws(-7)
    assert torch.equal(torch.rand(3), expected)
    assert len(torch.cuda._queued_calls) == queued
