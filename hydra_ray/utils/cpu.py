"""What this machine's processor can do, and how many of its threads PyTorch takes."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

Precision = Literal["fp32", "bf16"]


def fastest_precision(cpuinfo: Path = Path("/proc/cpuinfo")) -> Precision:
    """`bf16` where the processor multiplies in it (AVX512-BF16, AMX), else `fp32`.

    MiniLM on one core of an AMD EPYC 9005: bf16 encodes 3 times as many rows a second as fp32; held to AVX512 without
    BF16 by oneDNN 0.85 times, held to AVX2 0.3 times as many.
    """
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return "fp32"
    flags = next((line.split(":")[1].split() for line in lines if line.startswith("flags")), [])
    return "bf16" if {"avx512_bf16", "amx_bf16"} & set(flags) else "fp32"


def usable_cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch computes on one thread in here: its threads spin while they wait, and next to other processes two take 20
    times as long as one."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
