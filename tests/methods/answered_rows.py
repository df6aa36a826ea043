"""Rows of a run of the quickstart's configuration, answered in a process of their own that ends with its cluster.

python -m tests.methods.answered_rows ROW,ROW,... KEY=VALUE...: prints row -> the folder of its step, as JSON.
"""

import json
import subprocess
import sys
from collections.abc import Sequence

from hydra_ray.config import load_config
from hydra_ray.core.sampling import Trial
from hydra_ray.pipeline.job import Pipeline
from hydra_ray.pipeline.run_context import RunContext
from tests.docs.pages import ROOT

CONFIG = ROOT / "configs" / "quickstart.yaml"


def answered_rows(rows: Sequence[str], overrides: Sequence[str]) -> tuple[dict[str, str], str]:
    """row -> folder of its step, and what was printed meanwhile."""
    words = [sys.executable, "-m", "tests.methods.answered_rows", ",".join(rows), *overrides]
    done = subprocess.run(words, capture_output=True, text=True, timeout=800, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    steps: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return steps, done.stderr


if __name__ == "__main__":
    with RunContext(load_config(CONFIG, sys.argv[2:])) as run:
        job = Pipeline(run)
        print(json.dumps({row: str(job.method(Trial(0), row).path) for row in sys.argv[1].split(",")}), flush=True)
