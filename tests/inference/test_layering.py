"""The request path knows neither what calls it nor Ray, and its orchestration loads no PyTorch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import hydra_ray

FOLDER = Path(hydra_ray.__file__).parent / "inference"
ABOVE = ("hydra_ray.pipeline", "hydra_ray.serve", "hydra_ray.api", "hydra_ray.cli", "hydra_ray.bench")


def imported(file: Path) -> set[str]:
    """The modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda file: file.name)
def test_nothing_above_and_no_ray_is_imported(file: Path) -> None:
    names = imported(file)
    assert not [name for name in names if name.startswith(ABOVE)]
    assert not [name for name in names if name.split(".")[0] == "ray"]


def test_a_gateway_needs_no_pytorch() -> None:
    program = "import sys\nimport hydra_ray.inference.pipeline, hydra_ray.inference.history_index\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {name.split(".")[0] for name in done.stdout.split()} & {"torch", "transformers", "lance", "ray"}
