import pytest
import torch

from hydra_ray.models.heads import scores
from hydra_ray.training.user_fit.analytic_scores import AnalyticScores
from tests.training.user_fit.problems import ROWS, USERS, problem


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
