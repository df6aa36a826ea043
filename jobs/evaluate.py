"""`ray job submit -- python jobs/evaluate.py --config FILE`: the stage `evaluate`."""

import sys

from hydra_ray.cli import stage_main

if __name__ == "__main__":
    sys.exit(stage_main("evaluate"))
