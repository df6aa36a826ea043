"""`ray job submit -- python jobs/generate.py --config FILE`: the stage `generate`."""

import sys

from hydra_ray.cli import stage_main

if __name__ == "__main__":
    sys.exit(stage_main("generate"))
