"""`ray job submit -- python jobs/report.py --config FILE`: the stage `report`."""

import sys

from hydra_ray.cli import stage_main

if __name__ == "__main__":
    sys.exit(stage_main("report"))
