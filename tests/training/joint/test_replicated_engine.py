"""The plain engine learns what DeepSpeed's learns; several workers of it: test_loop_cluster.py."""

import torch
from torch import nn

from hydra_ray.training.joint.engine_state import EngineState
from hydra_ray.training.joint.replicated_engine import ReplicatedEngine
from tests.training.joint.small_engine import engine, step


def test_it_learns_what_deepspeed_learns(alone: None) -> None:
    plain, deepspeed = engine(None, None), engine(None, 0)
    assert isinstance(plain, ReplicatedEngine)
    assert not isinstance(deepspeed, ReplicatedEngine)
    first = plain.module.weight.detach().clone()
    for x in (1.0, -2.0, 40.0, 0.5):  # 40: a gradient far above the largest norm
        step(plain, x)
        step(deepspeed, x)
    left, right = EngineState.of(plain), EngineState.of(deepspeed)
    for one, other in ((left.weights, right.weights), (left.optimizer, right.optimizer)):
        assert one.keys() == other.keys()
        assert all(torch.allclose(value, other[name], rtol=1e-5, atol=1e-7) for name, value in one.items())
    assert not torch.equal(left.weights["weight"], first)


def test_micro_batches_before_the_last_change_nothing() -> None:
    torch.manual_seed(0)
    module = nn.Linear(2, 1)
    made = ReplicatedEngine(module, torch.optim.SGD(module.parameters(), lr=0.1), 2)
    before = module.weight.detach().clone()
    made.backward(made(torch.ones(1, 2)).sum())
    made.step()
    assert torch.equal(module.weight, before)
    made.backward(3 * made(torch.ones(1, 2)).sum())
    made.step()
    # Mean gradient (2, 2, 2), whose norm is above 1.
    assert torch.allclose(module.weight, before - 0.1 / 3**0.5, atol=1e-5)
    assert not made.module.weight.grad.any()


def test_what_gets_no_gradient_takes_part_with_zero() -> None:
    module = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)])
    made = ReplicatedEngine(module, torch.optim.SGD(module.parameters(), lr=0.1), 1)
    before = module[1].weight.detach().clone()
    made.backward(module[0](torch.ones(1, 1)).sum())
    made.step()
    assert torch.equal(module[1].weight, before)
