"""Imports point one way: no circle between files, and no folder imports from one above it."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import hydra_ray

FOLDER = Path(hydra_ray.__file__).parent / "inference"
ABOVE = ("hydra_ray.pipeline", "hydra_ray.serve", "hydra_ray.api", "hydra_ray.cli", "hydra_ray.bench")

ROOT = Path(hydra_ray.__file__).parent
LAYERS = (
    "errors", "version", "env", "utils", "registries", "core", "config", "store", "models", "synth", "data", "tiny_llm",
    "llm", "training", "inference", "methods", "report", "cluster", "pipeline", "serve", "config_schemas", "init_task",
    "jobs", "api", "bench", "bench_commands", "dry_run_arguments", "lamp_commands", "compare_commands", "cli",
    "job_entry",
)  # fmt: skip
"""Folders and single files of the package, lowest first."""
MOST_LINES = 400


def modules() -> dict[str, Path]:
    """Dotted name -> file."""
    files = sorted(ROOT.rglob("*.py"))
    return {".".join(file.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): file
            for file in files}  # fmt: skip


MODULES = modules()


def imports(file: Path) -> set[str]:
    """The package's modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "hydra_ray":
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= named & MODULES.keys() or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in MODULES}
    return found


GRAPH = {name: imports(file) - {name} for name, file in MODULES.items()}


def layer(module: str) -> str:
    return module.split(".")[1]


def test_no_circle_between_files() -> None:
    # The package's face names the API for type checkers, and imports none of it by itself.
    lazy = {"hydra_ray": {"hydra_ray.version"}}
    assert list(TopologicalSorter({**GRAPH, **lazy}).static_order())


def test_no_folder_imports_from_one_above_it() -> None:
    assert {layer(name) for name in MODULES if name != "hydra_ray"} - {"tasks"} == set(LAYERS)
    upwards = [
        f"{name} imports {other}"
        for name, others in GRAPH.items()
        for other in others
        if "hydra_ray" not in (name, other) and LAYERS.index(layer(other)) > LAYERS.index(layer(name))
    ]
    assert not upwards


def test_nothing_below_the_api_imports_the_packages_face() -> None:
    assert not [name for name, others in GRAPH.items() if "hydra_ray" in others and layer(name) != "api"]


def test_no_file_is_long() -> None:
    assert not [name for name, file in MODULES.items() if len(file.read_text().splitlines()) > MOST_LINES]


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
