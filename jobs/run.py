"""`ray job submit -- python jobs/run.py --config FILE`: the stage `run`."""

import sys

from hydra_ray.cli import stage_main

if __name__ == "__main__":
    sys.exit(stage_main("run"))
