"""`hydra-ray bench quickstart`: how much memory does a whole run take on one machine, and how long does it take?

The run is the quickstart's, or that of another configuration (`--config`), from nothing: into a folder that is removed
afterwards. Memory is summed over the command and everything that it starts (Ray's daemons and workers, training, the
served LLM), as `hydra_ray.bench.memory` counts it.
"""

import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from hydra_ray.bench.memory import MIB, PeakMemory
from hydra_ray.errors import UserError

CONFIG = Path("configs/quickstart.yaml")
"""Of a clone of the repository; the command is typed there."""


def run(args: Namespace) -> dict[str, Any]:
    """Measures and returns the figures.

    args: `config` (default CONFIG). peak_mib: the most of all processes together; peak_with_files_mib: the same with
    mapped files, libraries above all, each page counted once (PSS): what the machine must hold. worker_mib: the most of
    one worker of Ray Data. machine_mib: what the machine has.

    Raises:
        UserError: There is no such configuration, or the run finds a mistake.
        RuntimeError: The run fails otherwise.
    """
    config = Path(getattr(args, "config", CONFIG))
    if not config.is_file():
        raise UserError(f"{config}: no such file; type the command in a clone of the repository, or give --config FILE")
    with tempfile.TemporaryDirectory(prefix="hydra_ray_bench_") as folder:
        command = [sys.executable, "-m", "hydra_ray.cli", "run", "--config", str(config), f"root={folder}/runs"]
        return {"config": str(config), **measure(command)}


def measure(command: Sequence[str]) -> dict[str, Any]:
    """The figures of one command. Raises as `run`."""
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as log:
        with (
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as child,
            PeakMemory(child.pid) as memory,
        ):
            code = child.wait()
        seconds = time.monotonic() - began
        log.seek(0)
        output = log.read().strip()
    if code == 2:
        raise UserError(output.splitlines()[-1].removeprefix("hydra-ray: ") if output else f"{command}: exit code 2")
    if code != 0:
        raise RuntimeError(f"the run failed with exit code {code}: {output[-2000:]}")
    return {
        "seconds": round(seconds, 1),
        "peak_mib": round(memory.peak / MIB),
        "peak_with_files_mib": round(memory.peak_with_files / MIB),
        "worker_mib": round(memory.worker / MIB),
        "samples": memory.samples,
        "cpus": psutil.cpu_count(),
        "machine_mib": round(psutil.virtual_memory().total / MIB),
    }
