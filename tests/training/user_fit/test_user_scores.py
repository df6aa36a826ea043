"""Scores of many users' heads, with gradients."""

import torch

from hydra_ray.config import ModelConfig
from hydra_ray.models.heads import LinearHead
from hydra_ray.training.user_fit.analytic_scores import AnalyticScores
from hydra_ray.training.user_fit.user_scores import AutogradScores, user_scores
from tests.training.user_fit.problems import ROWS, USERS, WIDTH, problem


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
