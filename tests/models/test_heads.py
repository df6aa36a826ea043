import pytest
import torch

from hydra_ray.config.head_kinds import joint_kind
from hydra_ray.models.heads import gather, make_head, parameters_per_user, take_rows

KINDS = ["dense", "low_rank", "linear", "bayesian_linear", "shared"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_zero_delta_is_the_shared_head(kind: str) -> None:
    head = make_head(kind, 8, 2, 0.0)  # type: ignore[arg-type]
    z = torch.randn(3, 4, 8)
    assert torch.allclose(head(z, head.zeros(3)), head(z, {}), atol=1e-6)


@pytest.mark.parametrize("kind", ["dense", "low_rank", "linear"])
def test_every_delta_reaches_its_own_user_alone(kind: str) -> None:
    head = make_head(kind, 8, 2, 0.0)  # type: ignore[arg-type]
    deltas = {name: torch.randn_like(value) for name, value in head.zeros(3).items()}
    z = torch.randn(3, 4, 8)
    alone = torch.cat([head(z[i : i + 1], gather(deltas, torch.tensor([i]))) for i in range(3)])
    assert torch.allclose(head(z, deltas), alone, atol=1e-6)
    assert not torch.allclose(head(z, deltas), head(z, {}))


@pytest.mark.parametrize("kind", ["dense", "low_rank", "linear"])
def test_gradients_reach_every_part_of_a_delta(kind: str) -> None:
    head = make_head(kind, 8, 2, 0.0)  # type: ignore[arg-type]
    deltas = {name: (0.1 * torch.randn_like(v)).requires_grad_() for name, v in head.zeros(2).items()}
    head(torch.randn(2, 3, 8), deltas).square().sum().backward()
    assert all(v.grad is not None and v.grad.abs().sum() > 0 for v in deltas.values())


def test_sizes_are_those_of_the_paper() -> None:
    # 768 x 768 + 768 + 768 x 2 + 2 (HYDRA's head at Longformer's width)
    assert parameters_per_user("dense", 768, 8) == 592_130
    assert parameters_per_user("low_rank", 768, 8) * 4 < 60_000
    assert parameters_per_user("linear", 768, 8) == 768 * 2 + 2
    assert parameters_per_user("shared", 768, 8) == 0


def test_a_base_trained_as_the_joint_kind_loads_with_heads_of_the_kind() -> None:
    assert {kind: joint_kind(kind) for kind in KINDS} == {**{k: k for k in KINDS}, "bayesian_linear": "linear"}  # type: ignore[arg-type]
    trained = make_head("linear", 8, 2, 0.0)
    make_head("bayesian_linear", 8, 2, 0.0).load_state_dict(trained.state_dict())


@pytest.mark.parametrize("kind", KINDS)
def test_queries_of_users_score_as_with_a_delta_gathered_for_each(kind: str) -> None:
    head = make_head(kind, 8, 2, 0.0)  # type: ignore[arg-type]
    deltas = {name: torch.randn_like(value).requires_grad_() for name, value in head.zeros(5).items()}
    user = torch.tensor([3, 0, 3, 4, 0, 3])  # out of order, repeated, and two users without a query
    z = torch.randn(6, 2, 8, requires_grad=True)
    inputs = [z, *deltas.values()]
    together, apart = head.of_users(z, deltas, user), head(z, gather(deltas, user))
    assert torch.allclose(together, apart, atol=1e-6)
    weight = torch.randn_like(apart)
    found = torch.autograd.grad((together * weight).sum(), inputs)
    expected = torch.autograd.grad((apart * weight).sum(), inputs)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, expected, strict=True))


def test_taken_deltas_are_leaves_and_use_the_memory_given() -> None:
    head = make_head("linear", 4, 1, 0.0)
    deltas = {name: torch.randn_like(value) for name, value in head.zeros(5).items()}
    buffers: dict[str, torch.Tensor] = {}
    for rows in ([], [1], [4, 0, 2], [3, 1]):  # nothing, grows, then shrinks
        index = torch.tensor(rows, dtype=torch.int64)
        taken = take_rows(deltas, index, None, buffers)
        assert all(leaf.is_leaf and leaf.requires_grad for leaf in taken.values())
        assert all(torch.equal(taken[name], deltas[name][index]) for name in deltas)
    assert all(len(value) == 3 and not value.requires_grad for value in buffers.values())


@pytest.mark.parametrize("kind", ["dense", "low_rank", "linear"])
def test_gradients_are_those_of_finite_differences(kind: str) -> None:
    torch.manual_seed(0)
    head = make_head(kind, 4, 2, 0.0).double()  # type: ignore[arg-type]
    z_QRZ = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    names = list(head.delta_shapes())
    deltas = [torch.randn(2, *shape, dtype=torch.float64).requires_grad_() for shape in head.delta_shapes().values()]
    assert torch.autograd.gradcheck(lambda z, *values: head(z, dict(zip(names, values, strict=True))), (z_QRZ, *deltas))
