import pytest
import torch

from hydra_ray.config import ModelConfig
from hydra_ray.models.heads import Deltas, Head, LinearHead, make_head, scores
from hydra_ray.training.user_fit.analytic_scores import AnalyticScores
from hydra_ray.training.user_fit.user_scores import AutogradScores, user_scores

USERS, ROWS, WIDTH, RANK = 3, 7, 5, 2


def problem(kind: str) -> tuple[Head, torch.Tensor, Deltas]:
    """A head with dropout, whose layers are no identity, rows of users, and deltas of theirs; in float64."""
    torch.manual_seed(0)
    head = make_head(kind, WIDTH, RANK, 0.5).double()
    torch.nn.init.normal_(head.dense.weight)
    torch.nn.init.normal_(head.dense.bias)
    deltas = {name: torch.randn(USERS, *shape).double() for name, shape in head.delta_shapes().items()}
    return head, torch.randn(USERS, ROWS, WIDTH).double(), deltas


@pytest.mark.parametrize("kind", ["dense", "low_rank", "linear", "bayesian_linear"])
def test_scores_and_gradients_are_those_of_autograd(kind: str) -> None:
    head, z_URZ, deltas = problem(kind)
    rows = AnalyticScores(head, z_URZ)
    head.eval()
    for turn in range(2):
        leaves = {name: (value + turn).requires_grad_() for name, value in deltas.items()}
        now = {name: value.detach() for name, value in leaves.items()}
        wanted_UR = scores(head(z_URZ, leaves))
        assert torch.allclose(rows.of(now), wanted_UR, rtol=1e-12, atol=1e-12)
        g_UR = torch.randn(USERS, ROWS).double()
        wanted = torch.autograd.grad(wanted_UR, list(leaves.values()), g_UR)
        found = rows.gradients(g_UR, now)
        assert set(found) == set(leaves)
        for name, gradient in zip(leaves, wanted, strict=True):
            assert torch.allclose(found[name], gradient, rtol=1e-10, atol=1e-12), name


@pytest.mark.parametrize("kind", ["dense", "low_rank", "linear"])
def test_without_deltas_they_are_the_shared_heads_and_each_user_has_its_own(kind: str) -> None:
    head, z_URZ, deltas = problem(kind)
    rows, index = AnalyticScores(head, z_URZ), torch.tensor([2, 0])
    own_UR = rows.of(deltas)
    shared_UR = rows.of({})
    assert torch.equal(rows.of(deltas), own_UR)
    picked = AnalyticScores(head, z_URZ[index]).of({name: value[index] for name, value in deltas.items()})
    assert torch.allclose(picked, own_UR[index], rtol=1e-12, atol=1e-12)
    head.eval()
    assert torch.allclose(shared_UR, scores(head(z_URZ, {})), rtol=1e-12, atol=1e-12)
    assert torch.equal(rows.of({name: torch.zeros_like(value) for name, value in deltas.items()}), shared_UR)


def test_heads_without_written_out_gradients_are_differentiated() -> None:
    head, z_URZ, deltas = problem("low_rank")
    written, found = AnalyticScores(head, z_URZ), AutogradScores(head, z_URZ)
    g_UR = torch.randn(USERS, ROWS).double()
    assert torch.allclose(found.of({}), written.of({}), rtol=1e-12, atol=1e-12)
    assert torch.allclose(found.of(deltas), written.of(deltas), rtol=1e-12, atol=1e-12)
    gradients = found.gradients(g_UR, deltas)
    for name, gradient in written.gradients(g_UR, deltas).items():
        assert torch.allclose(gradients[name], gradient, rtol=1e-10, atol=1e-12), name
    assert head.training
    assert isinstance(user_scores(head, z_URZ), AnalyticScores)

    class Own(LinearHead):
        """A subclass may compute something else."""

    assert isinstance(user_scores(Own(WIDTH, ModelConfig()), z_URZ[..., :WIDTH].float()), AutogradScores)
