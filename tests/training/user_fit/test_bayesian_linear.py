import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from hydra_ray.errors import UserError
from hydra_ray.models.heads import make_head, scores
from hydra_ray.training.user_fit.bayesian_linear import (
    bayesian_linear_deltas,
    fit_bayesian_linear,
    shared_head_features,
)
from hydra_ray.training.user_fit.prior import fit_heads_under_prior
from tests.training.user_fit.drawn_users import Draw, draw, rows_of


def gradient(problem: Draw, w: Tensor, precision: Tensor) -> Tensor:
    """Of the log-posterior at w: zero at its mode, and nowhere else."""
    h, offset, label, mask = problem
    leaf = w.clone().requires_grad_()
    s = offset + (h @ leaf[:, :-1].unsqueeze(-1)).squeeze(-1) + leaf[:, -1:]
    loss = (torch.nn.functional.softplus(s) - label * s) * mask
    return torch.autograd.grad(loss.sum() + (leaf.square() * precision).sum() / 2, leaf)[0]


@pytest.mark.parametrize(("rows", "width"), [(12, 20), (60, 8)], ids=["by rows", "by features"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_to_logistic_regression_of_each_user(rows: int, width: int, dtype: torch.dtype) -> None:
    h, offset, label, mask = (x.to(dtype) for x in draw(6, rows, width, torch.ones(width + 1)))
    precision = torch.linspace(0.5, 3, width + 1, dtype=dtype)
    fit = fit_bayesian_linear(h, torch.zeros_like(offset), label, mask, precision)
    for u in range(6):
        # scikit-learn has one strength for all weights and none for its intercept: scale the features instead.
        scaled = torch.cat([h[u], torch.ones(rows, 1, dtype=dtype)], 1) / precision.sqrt()
        model = LogisticRegression(C=1.0, fit_intercept=False, tol=1e-12, solver="newton-cholesky")
        model.fit(scaled.double().numpy(), label[u].numpy())
        expected = model.coef_[0] / precision.double().sqrt().numpy()
        assert np.allclose(fit.w[u].numpy(), expected, atol=1e-4 if dtype == torch.float32 else 1e-8)


@pytest.mark.parametrize(("rows", "width"), [(12, 20), (60, 8)], ids=["by rows", "by features"])
def test_the_mode_with_offsets_and_its_uncertainty(rows: int, width: int) -> None:
    problem = draw(5, rows, width, torch.ones(width + 1))
    problem[3][2, 3:] = 0
    precision = torch.linspace(0.5, 3, width + 1, dtype=torch.float64)
    fit = fit_bayesian_linear(*problem, precision)
    assert float(gradient(problem, fit.w, precision).abs().max()) < 1e-6
    h, offset, _, mask = problem
    f = torch.cat([h, torch.ones(5, rows, 1, dtype=torch.float64)], -1)
    p = torch.sigmoid(offset + (f @ fit.w.unsqueeze(-1)).squeeze(-1))
    curvature = f.mT @ ((p * (1 - p) * mask).unsqueeze(-1) * f) + torch.diag(precision)
    assert torch.allclose(fit.variance, torch.linalg.inv(curvature).diagonal(dim1=1, dim2=2), atol=1e-9)


def test_it_converges_where_the_prior_is_nearly_flat_and_the_labels_are_separable() -> None:
    h, offset, label, mask = draw(20, 30, 40, torch.full((41,), 3.0))
    precision = torch.full((41,), 1e-3, dtype=torch.float64)
    far = 30 * torch.sign(offset)  # the shared head is certain, and often wrong
    fit = fit_bayesian_linear(h, far, label, mask, precision)
    assert float(gradient((h, far, label, mask), fit.w, precision).abs().max()) < 1e-4


def test_a_user_without_rows_is_exactly_the_shared_head_and_users_do_not_touch() -> None:
    problem = draw(4, 10, 6, torch.ones(7))
    problem[3][1] = 0
    problem[0][1, 2] = torch.nan  # not a row: may hold anything
    precision = torch.ones(7, dtype=torch.float64)
    together = fit_bayesian_linear(*problem, precision)
    assert bool((together.w[1] == 0).all())
    assert torch.allclose(together.variance[1], 1 / precision)
    for u in range(4):
        alone = fit_bayesian_linear(*(x[u : u + 1] for x in problem), precision)
        assert torch.allclose(alone.w[0], together.w[u], atol=1e-9)


@pytest.mark.parametrize(("part", "name"), [(0, "hidden states"), (1, "the shared head's scores"), (2, "labels")])
def test_nan_is_refused_by_name(part: int, name: str) -> None:
    problem = draw(3, 5, 4, torch.ones(5))
    problem[part][2, 1] = torch.nan
    with pytest.raises(UserError, match=f"{name} of user 2 "):
        fit_bayesian_linear(*problem, torch.ones(5))
    with pytest.raises(UserError, match="precision must be positive"):
        fit_bayesian_linear(*draw(3, 5, 4, torch.ones(5)), torch.tensor([1.0, 1, 0, 1, 1]))


def test_the_deltas_add_the_residual_to_the_shared_heads_log_odds() -> None:
    head = make_head("bayesian_linear", 6, 2, 0.1)
    rows = rows_of(draw(3, 10, 6, torch.ones(7)), head)
    h, offset = shared_head_features(head, rows)
    w = fit_bayesian_linear(h, offset, rows.label, rows.mask, torch.ones(7)).w
    deltas = fit_heads_under_prior(head, rows, torch.ones(7))
    assert {name: value.shape[1:] for name, value in deltas.items()} == {
        name: torch.Size(shape) for name, shape in make_head("linear", 6, 2, 0.0).delta_shapes().items()
    }
    assert all(torch.equal(value, deltas[name]) for name, value in bayesian_linear_deltas(w).items())
    expected = offset + (h @ w[:, :-1].unsqueeze(-1)).squeeze(-1) + w[:, -1:]
    assert torch.allclose(scores(head(rows.z, deltas)), expected, atol=1e-5)
    empty = fit_heads_under_prior(head, rows.users(torch.zeros(0, dtype=torch.int64)), torch.ones(7))
    assert empty["out_weight"].shape == (0, 6, 2)
