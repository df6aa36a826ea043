"""The most memory of a process and its descendants."""

import subprocess
import sys

import pytest

from hydra_ray.bench.memory import PeakMemory, run_measured
from hydra_ray.errors import UserError


def test_peak_counts_descendants() -> None:
    grow = "import sys; held = bytearray(b'x') * (64 << 20); print(flush=True); sys.stdin.read()"
    shell = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grow!r}])"]
    with subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        with PeakMemory(child.pid) as memory:
            child.stdout.readline()
            assert memory.sample() > 64 << 20
        child.stdin.close()
    assert memory.peak_with_files >= memory.peak > 64 << 20


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        ("UserError('the disk is full')", UserError, "^the disk is full$"),
        ("KeyError('x')", RuntimeError, "^y failed: "),
    ],
)
def test_a_child_that_fails_says_why(raised: str, kind: type[Exception], words: str) -> None:
    program = f"from hydra_ray.errors import UserError; print('ready', flush=True); input(); raise {raised}"
    with pytest.raises(kind, match=words):
        run_measured([sys.executable, "-c", program], "y")
