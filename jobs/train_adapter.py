"""`ray job submit -- python jobs/train_adapter.py --config FILE`: the stage `train-adapter`."""

import sys

from hydra_ray.cli import stage_main

if __name__ == "__main__":
    sys.exit(stage_main("train-adapter"))
