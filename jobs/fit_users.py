"""`ray job submit -- python jobs/fit_users.py --config FILE`: the stage `fit-users`."""

import sys

from hydra_ray.cli import stage_main

if __name__ == "__main__":
    sys.exit(stage_main("fit-users"))
