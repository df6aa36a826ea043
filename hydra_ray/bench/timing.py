"""What the benches of tensors share: interleaved timing, medians, and what machine it was."""

import os
import time
from collections.abc import Callable, Mapping
from statistics import median

import torch


def seconds(work: Callable[[], object], device: torch.device | None = None) -> float:
    """Wall-clock seconds of one call, the device's queue drained before and after it."""
    _drain(device)
    began = time.perf_counter()
    work()
    _drain(device)
    return time.perf_counter() - began


def interleaved(
    ways: Mapping[str, Callable[[], object]], repeats: int, device: torch.device | None = None
) -> dict[str, float]:
    """Median seconds of each way after one untimed round; they take turns, so that other load meets all alike."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, work in ways.items():
            spent = seconds(work, device)
            if repeat:
                taken[name].append(spent)
    return {name: median(values) for name, values in taken.items()}


def machine() -> dict[str, object]:
    """The threads that both sides run with, the processor cores and PyTorch's version."""
    return {"threads": torch.get_num_threads(), "cpus": os.cpu_count(), "torch": torch.__version__}


def _drain(device: torch.device | None) -> None:
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
