"""The device that a worker computes on, decided once per worker, and the memory that it may use there.

A device is an accelerator of whatever kind PyTorch was built for, or the CPU. Nothing else in the package asks PyTorch
which devices there are.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import psutil
import torch

from hydra_ray import env
from hydra_ray.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

CPU = torch.device("cpu")
HEADROOM = 0.85
"""Share of a worker's memory that is planned for: the rest is for allocators, kernels and what else runs there."""


def has_accelerator() -> bool:
    """Whether PyTorch sees an accelerator here."""
    return torch.accelerator.is_available()


def count_accelerators() -> int:
    """How many accelerators PyTorch sees here."""
    return torch.accelerator.device_count() if has_accelerator() else 0


def worker_device(num_gpus: float) -> torch.device:
    """Where a worker computes that was promised `num_gpus` GPUs, or a share of one; the CPU for none.

    Raises UserError if it was promised one and PyTorch sees none.
    """
    if num_gpus <= 0:
        return CPU
    found = torch.accelerator.current_accelerator() if has_accelerator() else None
    if found is None:
        raise UserError(
            f"a worker was promised a GPU (num_gpus={num_gpus:g}) and PyTorch {torch.__version__} sees none on this "
            "node: install a PyTorch with its accelerator's support there, or set num_gpus: 0 for these workers"
        )
    return torch.device(found.type, torch.accelerator.current_device_index())


def seed_draws(seed: int, device: torch.device = CPU) -> None:
    """What PyTorch draws from here on, on the CPU and on `device`, follows from the seed alone.

    As `torch.manual_seed`, which for every kind of device that has not been used yet queues the seed with the stack it
    was called from: a millisecond and some memory a call, in a worker that seeds every step.
    """
    torch.default_generator.manual_seed(seed)
    if device != CPU:
        torch.get_device_module(device).manual_seed(seed)


def memory_share(free: int, total: int, used: int, num_gpus: float) -> int:
    """Bytes that a worker may still fill on a device that it shares with others. Pure.

    Args:
        free: Bytes that are not allocated on the device.
        total: All its bytes.
        used: What this worker has allocated there itself.
        num_gpus: Its share of the device.
    """
    own = int(total * min(1.0, num_gpus)) - used
    return max(0, int(min(free, own) * HEADROOM))


def workers_of_node() -> int:
    """How many training workers share this one's node."""
    return int(env.read(env.LOCAL_WORLD_SIZE) or 1)


def free_memory(device: torch.device, num_gpus: float, workers: int = 1) -> int:
    """Bytes that this worker may still fill on its device.

    Args:
        device: As `worker_device` gave it.
        num_gpus: The worker's share of it.
        workers: Of the CPU's memory, so many workers of a node have equal parts.
    """
    if device.type == "cpu":
        return int(psutil.virtual_memory().available * HEADROOM) // max(1, workers)
    free, total = torch.accelerator.get_memory_info(device.index)
    reserved = torch.accelerator.memory_reserved(device.index)
    allocated = torch.accelerator.memory_allocated(device.index)
    # What the allocator holds and does not use is free for this worker alone.
    return memory_share(free + reserved - allocated, total, allocated, num_gpus)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether PyTorch says so that memory ran out, on a device or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


@contextmanager
def explained_out_of_memory(explain: Callable[[], str]) -> Iterator[None]:
    """Where memory runs out in the block: UserError in place of PyTorch's error. explain: says what to do."""
    try:
        yield
        return
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        line = explain()
    raise UserError(line)


def release_memory(device: torch.device) -> None:
    """Gives what nothing uses any more back to the device."""
    gc.collect()
    if device.type != "cpu":
        torch.accelerator.empty_cache()


def synchronize(device: torch.device) -> None:
    """Waits until the device has done all its work."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def halved_once(
    work: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item], device: torch.device, advice: str
) -> list[Result]:
    """`work(items)`, or where memory runs out that of the first half and then of the second.

    Args:
        work: The results of some items, in order: one each, or fewer for several together.
        items: A batch.
        device: What it is computed on.
        advice: What to do where half the batch is too much, too.

    Raises:
        UserError: Memory ran out with half the batch, or with a single item.
    """
    try:
        return work(items)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    # Only here does nothing hold the failed attempt's tensors any more.
    release_memory(device)
    half = (len(items) + 1) // 2
    if half < len(items):
        try:
            return [*work(items[:half]), *work(items[half:])]
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        release_memory(device)
    raise UserError(f"out of memory on {device} with {half} at once, half of a batch of {len(items)}: {advice}")
