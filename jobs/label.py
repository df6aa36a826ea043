"""`ray job submit -- python jobs/label.py --config FILE`: the stage `label`."""

import sys

from hydra_ray.cli import stage_main

if __name__ == "__main__":
    sys.exit(stage_main("label"))
