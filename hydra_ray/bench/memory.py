"""The memory of a process tree, and a measured child: a fresh process that says `ready`, waits for a line and answers.

Memory is the proportional set size (PSS), so that shared pages, the object store's among them, count once, less the
pages of mapped files: libraries, whose share depends on what else runs on the machine.
"""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from hydra_ray.utils.periodic import PeriodicTask
from hydra_ray.utils.ray_errors import user_error_in

SAMPLE_S, SLOWING, LONGEST_S = 0.25, 1 / 200, 2.0
"""Seconds between samples: the least, the share of what has passed, and the most. A sample of a small Ray costs 50 ms
of a core."""
MIB = 1 << 20


def run_measured(command: Sequence[str], what: str) -> tuple[str, "PeakMemory", int]:
    """The last line that the child answers, its memory, and what it had in bytes when it was ready.

    Raises:
        UserError: The child has ended with one.
        RuntimeError: It has failed otherwise: `what`, and the end of its log.
    """
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True) as child,
    ):
        assert child.stdin is not None
        assert child.stdout is not None
        with PeakMemory(child.pid) as memory:
            ready = child.stdout.readline()
            idle = memory.sample()
            reply = child.communicate("go\n")[0] if ready else ""
        if child.wait() != 0 or not reply:
            log.seek(0)
            text = log.read()
            raise user_error_in(text) or RuntimeError(f"{what} failed: {text[-2000:]}")
    return reply.splitlines()[-1], memory, idle


class PeakMemory(PeriodicTask):
    """Samples the memory of a process and all its descendants while the context lasts; all in bytes.

    peak, peak_with_files: of the sum, without and with mapped files. worker: of one Ray worker, without.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(self.sample, SAMPLE_S, SLOWING, LONGEST_S)
        self._root = psutil.Process(pid)
        self.peak = 0
        self.peak_with_files = 0
        self.worker = 0
        self.samples = 0

    def sample(self) -> int:
        """Bytes now, without mapped files."""
        try:
            tree = [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return 0
        sizes = [(_bytes_of(process), _is_worker(process)) for process in tree]
        total = sum(own for (own, _), _ in sizes)
        self.peak = max(self.peak, total)
        self.peak_with_files = max(self.peak_with_files, sum(whole for (_, whole), _ in sizes))
        self.worker = max([self.worker, *(own for (own, _), worker in sizes if worker)])
        self.samples += 1
        return total


def _bytes_of(process: Any) -> tuple[int, int]:
    """A process's PSS without and with mapped files, or its RSS where the system has no PSS; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()[1:]
        kib = {name: int(value.split()[0]) for name, value in (line.split(":") for line in lines)}
        return (kib["Pss_Anon"] + kib["Pss_Shmem"]) * 1024, kib["Pss"] * 1024
    except (OSError, ValueError, KeyError):
        pass
    try:
        rss = int(process.memory_info().rss)
    except psutil.Error:
        return 0, 0
    return rss, rss


def _is_worker(process: Any) -> bool:
    """Whether it runs tasks of the pipelines; Ray's own actors and agents have names of their own."""
    try:
        command = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return command.startswith(("ray::MapBatches", "ray::MapWorker", "ray::_MapWorker", "ray::IDLE"))
