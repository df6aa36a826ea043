"""Placement groups of a real Ray that were not given back."""

import pytest
import ray
from ray.util import placement_group

from hydra_ray.training.placement_groups import placement_groups, remove_placement_groups


@pytest.mark.cluster
@pytest.mark.timeout(120)
def test_what_a_training_left_is_given_back_and_nothing_else(cluster: str) -> None:
    kept = placement_group([{"CPU": 1}])
    before = placement_groups()
    assert before == {kept.id.hex()}
    left = placement_group([{"CPU": 1}, {"CPU": 1}])
    waiting = placement_group([{"CPU": 99}])
    ray.get([kept.ready(), left.ready()])
    assert placement_groups() - before == {left.id.hex(), waiting.id.hex()}
    remove_placement_groups(placement_groups() - before)
    assert placement_groups() == before
