"""`ray job submit -- python jobs/ingest.py --config FILE`: the stage `ingest`."""

import sys

from hydra_ray.cli import stage_main

if __name__ == "__main__":
    sys.exit(stage_main("ingest"))
