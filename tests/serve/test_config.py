import pytest
from pydantic import ValidationError

from hydra_ray.serve.config import FitterConfig, GatewayConfig, Scaling, ScorerConfig


@pytest.mark.parametrize("replicas", [(0, 1), (3, 2), (-1, -1)])
def test_replicas_are_fewest_and_most(replicas: tuple[int, int]) -> None:
    with pytest.raises(ValidationError, match=r"must be \(fewest, most\), at least one"):
        Scaling(replicas=replicas)
    assert Scaling(replicas=(2, 3)).replicas == (2, 3)


def test_only_what_computes_may_have_a_gpu() -> None:
    assert ScorerConfig(num_gpus=0.5).num_gpus == 0.5
    with pytest.raises(ValidationError, match=r"0\.5 would lie idle here; scorer and fitter can use a GPU"):
        GatewayConfig(num_gpus=0.5)


def test_there_is_one_fitter() -> None:
    with pytest.raises(ValidationError, match=r"must be one alone, \[1, 1\]"):
        FitterConfig(replicas=(1, 2))
