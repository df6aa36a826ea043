"""Weights and optimiser state, whole; partitioned ones are compared in test_loop_cluster.py."""

import pytest
import torch

from hydra_ray.training.joint.zero_state import load_optimizer_state, optimizer_state, weights
from tests.training.joint.small_engine import engine, step


@pytest.mark.parametrize(("one", "other"), [(1, 1), (0, 0), (None, None), (1, None), (None, 0)])
def test_the_state_of_one_engine_is_put_into_another(alone: None, one: int | None, other: int | None) -> None:
    first, second = engine(None, one), engine(None, other)
    step(first, 1.0)
    step(first, -2.0)
    step(second, 5.0)
    state = optimizer_state(first)
    assert sorted(state) == ["exp_avg.bias", "exp_avg.weight", "exp_avg_sq.bias", "exp_avg_sq.weight", "step"]
    assert state["step"] == 2
    assert not torch.equal(optimizer_state(second)["exp_avg.weight"], state["exp_avg.weight"])
    load_optimizer_state(second, weights(first), state)
    found = optimizer_state(second)
    assert found.keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in found.items())
    with pytest.raises(KeyError, match=r"exp_avg\.weight"):
        load_optimizer_state(second, weights(first), {"step": state["step"]})


def test_weights_are_copies_of_what_is_trained(alone: None) -> None:
    made = engine(None)
    found = weights(made)
    before = {name: value.clone() for name, value in found.items()}
    step(made, 1.0)
    assert all(torch.equal(found[name], before[name]) for name in before)
    assert not torch.equal(weights(made)["weight"], before["weight"])
    assert all(value.dtype == torch.float32 for value in found.values())
