"""The entrypoint of a submitted job: the stage is an argument, config and task file are in the environment."""

import sys
import tempfile
from pathlib import Path

import yaml

from hydra_ray.cli import main
from hydra_ray.cluster import AUTO, LOCAL
from hydra_ray.env import JOB_CONFIG, JOB_TASK, read
from hydra_ray.errors import UserError
from hydra_ray.jobs.parcel import unpack


def run_submitted() -> int:
    """Runs the stage named by the first argument with the config in HYDRA_RAY_CONFIG; returns the exit code.

    The stage joins the cluster that the job runs on, unless the config names another.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "submitted.yaml"
        try:
            config = unpack({variable.name: read(variable) for variable in (JOB_CONFIG, JOB_TASK)})
        except UserError as error:
            print(f"hydra-ray: error: {error}", file=sys.stderr)
            return 2
        if config["ray"]["address"] == LOCAL:
            config["ray"]["address"] = AUTO
        file.write_text(yaml.safe_dump(config))
        return main([sys.argv[1], "--config", str(file)])


if __name__ == "__main__":
    sys.exit(run_submitted())
