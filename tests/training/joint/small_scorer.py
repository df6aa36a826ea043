"""A small scorer."""

from hydra_ray.config import ModelConfig
from hydra_ray.models.scorer import PairScorer


def make_scorer(kind: str = "linear") -> PairScorer:
    return PairScorer(ModelConfig(pair="bi_encoder", pair_dim=8, head=kind), None, 16, True, 1)
