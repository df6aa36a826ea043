"""Everything that the package reads at run time is in its wheel."""

import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_every_file_of_the_package_is_packed() -> None:
    listed = subprocess.run(["git", "ls-files", "hydra_ray"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a clone of the repository")
    globs = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["hydra_ray"]
    files = [name.removeprefix("hydra_ray/") for name in listed.stdout.splitlines() if not name.endswith(".py")]
    assert "serve/ui/index.html" in files
    assert [name for name in files if not any(fnmatch(name, glob) for glob in globs)] == []
    assert [glob for glob in globs if not any(fnmatch(name, glob) for name in files)] == []
