"""`ray job submit -- python jobs/train_reranker.py --config FILE`: the stage `train-reranker`."""

import sys

from hydra_ray.cli import stage_main

if __name__ == "__main__":
    sys.exit(stage_main("train-reranker"))
