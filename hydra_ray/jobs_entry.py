"""The entrypoint of a submitted job: the stage is an argument, the resolved config is in the environment."""

import json
import sys
import tempfile
from pathlib import Path

import yaml

from hydra_ray.cli import main
from hydra_ray.cluster import AUTO, LOCAL
from hydra_ray.environment import JOB_CONFIG, read


def run_submitted() -> int:
    """Runs the stage named by the first argument with the config in HYDRA_RAY_CONFIG; returns the exit code.

    The stage joins the cluster that the job runs on, unless the config names another.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "submitted.yaml"
        config = json.loads(read(JOB_CONFIG))
        if config["ray"]["address"] == LOCAL:
            config["ray"]["address"] = AUTO
        file.write_text(yaml.safe_dump(config))
        return main([sys.argv[1], "--config", str(file)])


if __name__ == "__main__":
    sys.exit(run_submitted())
