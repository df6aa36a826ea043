"""A small disk of its own for a test's process: `python -m tests.small_disk MODULE FOLDER` runs the module's `main`.

The folder is a file system in memory that only this process and its children see.
"""

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_ROOT = () if os.geteuid() == 0 else ("--map-root-user",)


def on_small_disk(module: str, folder: Path) -> dict[str, Any]:
    """What the `main(folder)` of a module returns; skipped where no file system can be mounted."""
    unshare = ["unshare", "--mount", *_ROOT]
    if not shutil.which("unshare") or subprocess.run([*unshare, "mount", "-t", "tmpfs", "none", folder]).returncode:
        pytest.skip("no file system can be mounted here")
    command = [*unshare, sys.executable, "-m", "tests.small_disk", module, folder]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def mount(folder: Path, kib: int) -> None:
    """Puts an empty disk of this size there."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=777", "small", folder], check=True)


def resize(folder: Path, kib: int) -> None:
    """Gives the disk another size."""
    subprocess.run(["mount", "-o", f"remount,size={kib}k", folder], check=True)


if __name__ == "__main__":
    print(json.dumps(importlib.import_module(sys.argv[1]).main(Path(sys.argv[2]))))
