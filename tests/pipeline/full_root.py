"""A run whose root's disk fills up in the midst of a step, and gets room again: what `main` does, in a process of its
own."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from hydra_ray.config import load_config
from hydra_ray.pipeline.data_steps import DataSteps
from hydra_ray.pipeline.run_context import RunContext
from tests.small_disk import mount, resize


def main(folder: Path) -> dict[str, Any]:
    """The command twice on a full disk; then, with room, the step that it was at."""
    mount(folder, 1024)
    settings = [f"root={folder}/runs", "data.synth.users=400"]
    command = [sys.executable, "-m", "hydra_ray.cli", "ingest", *settings]
    failed = [subprocess.run(command, capture_output=True, text=True, check=False) for _ in range(2)]
    (partial,) = (folder / "runs" / "steps").glob("*.partial")
    (partial / "dev_questions.json.1.tmp").touch()  # as a killed attempt leaves it
    resize(folder, 16384)
    with RunContext(load_config(None, settings), "ingest") as run:
        done = DataSteps(run).synth()
    files = sorted(str(file.relative_to(done.path)) for file in done.path.rglob("*"))
    return {"codes": [one.returncode for one in failed], "words": [one.stderr for one in failed], "files": files}
