"""`ray job submit -- python jobs/refit.py --config FILE --base-run RUN`: the command `refit`."""

import sys

from hydra_ray.cli import stage_main

if __name__ == "__main__":
    sys.exit(stage_main("refit"))
