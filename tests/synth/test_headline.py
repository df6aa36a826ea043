import numpy as np
import pytest

from hydra_ray.synth.world import attainable
from tests.synth.some_people import people


def test_attainable_headline_holds() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rouge1"], use_stemmer=False)
    items = [item for user in people("headline", 1000) for item in user.items]
    scores = [scorer.score(item.answer, item.clean)["rouge1"].fmeasure for item in items]
    assert np.mean(scores) == pytest.approx(attainable("headline")["rouge1"], abs=0.01)
