"""Score requests answered by a trained reranker or adapter: the one place where requests become batches of pairs."""

from collections.abc import Sequence

from hydra_ray.inference.types import ScoreRequest
from hydra_ray.training.artifacts.trained_scorer import TrainedScorer
from hydra_ray.training.joint.ranking_examples import RankingExample

SHARED = ""
"""The user whom the shared head scores for."""


def score_requests(scorer: TrainedScorer, requests: Sequence[ScoreRequest]) -> list[tuple[float, ...]]:
    """The log-odds of each request's texts, with the head of its user, in one batch."""
    groups = [
        RankingExample(r.user or SHARED, 0, str(i), r.query, r.texts, (0.0,) * len(r.texts), r.evidence)
        for i, r in enumerate(requests)
    ]
    return [tuple(scores.tolist()) for scores in scorer.score(groups)]
