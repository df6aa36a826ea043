import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from hydra_ray.config import FitConfig
from hydra_ray.errors import UserError
from hydra_ray.models.heads import Head, make_head, scores
from hydra_ray.training.user_fit.bayesian_linear import (
    bayesian_linear_deltas,
    fit_bayesian_linear,
    shared_head_features,
)
from hydra_ray.training.user_fit.padded_users import PaddedUsers
from hydra_ray.training.user_fit.prior import SMALLEST, estimate_prior, fit_heads_under_prior
from hydra_ray.training.user_fit.solver import solve_heads

Draw = tuple[Tensor, Tensor, Tensor, Tensor]


def draw(users: int, rows: int, width: int, spread: Tensor, seed: int = 0) -> Draw:
    """h, offset, label, mask of users whose residual is drawn with `spread` [width + 1]; float64."""
    g = torch.Generator().manual_seed(seed)
    h = torch.tanh(torch.randn(users, rows, width, generator=g, dtype=torch.float64))
    offset = torch.randn(users, rows, generator=g, dtype=torch.float64)
    w = torch.randn(users, width + 1, generator=g, dtype=torch.float64) * spread
    s = offset + (h @ w[:, :-1].unsqueeze(-1)).squeeze(-1) + w[:, -1:]
    label = (torch.rand(users, rows, generator=g, dtype=torch.float64) < torch.sigmoid(s)).double()
    return h, offset, label, torch.ones_like(label)


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


def rows_of(problem: Draw, head: Head, per_query: int = 5) -> PaddedUsers:
    """The problem as rows whose hidden states under `head` (dense layer: identity) are its h."""
    h, _, label, mask = (x.float() for x in problem)
    query = (torch.arange(h.shape[1]) // per_query).expand(len(h), -1)
    return PaddedUsers(torch.atanh(h.clamp(-0.999999, 0.999999)), label, mask, query)


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


def silent(width: int) -> Head:
    """A shared head that says 0 for every row."""
    head = make_head("bayesian_linear", width, 2, 0.0)
    torch.nn.init.zeros_(head.out.weight)
    torch.nn.init.zeros_(head.out.bias)
    return head


def test_the_prior_is_recovered_from_simulated_users() -> None:
    spread = torch.tensor([1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.5], dtype=torch.float64)
    h, offset, _, mask = draw(300, 60, 8, spread)
    w = torch.randn(300, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) * spread
    s = (h @ w[:, :-1].unsqueeze(-1)).squeeze(-1) + w[:, -1:]
    label = (
        torch.rand(s.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4)) < s.sigmoid()
    ).double()
    head = silent(8)
    prior = estimate_prior(head, rows_of((h, offset, label, mask), head))
    found = prior.variance.sqrt()
    assert torch.allclose(found[[0, 1, 2]], spread[:3], rtol=0.2)
    assert float(found[3:8].max()) < 0.35
    assert float(found[8]) == pytest.approx(0.5, rel=0.25)
    assert prior.scale == 1.0
    assert prior.rounds < 100


def test_where_users_do_not_differ_the_prior_is_narrow_and_heads_stay_at_the_shared_head() -> None:
    head = silent(8)
    h, offset, _, mask = draw(100, 40, 8, torch.zeros(9))
    label = (torch.rand(offset.shape, generator=torch.Generator().manual_seed(1)) < 0.5).double()
    rows = rows_of((h, offset, label, mask), head)
    prior = estimate_prior(head, rows)
    assert float(prior.variance.sqrt().max()) < 0.2
    with torch.no_grad():
        s = scores(head(rows.z, fit_heads_under_prior(head, rows, prior.precision)))
    assert float(s.abs().mean()) < 0.05


def test_no_rows_at_all_leave_everybody_at_the_shared_head() -> None:
    head = silent(4)
    rows = rows_of(draw(2, 5, 4, torch.ones(5)), head).only(torch.zeros(2, 5))
    prior = estimate_prior(head, rows)
    assert prior.variance.tolist() == [SMALLEST] * 5
    assert all(bool((value == 0).all()) for value in fit_heads_under_prior(head, rows, prior.precision).values())


def test_whom_a_head_of_their_own_serves_worse_keeps_the_shared_head() -> None:
    """Half of the users answer their held-out queries the other way round: what they learn elsewhere misleads."""
    head = silent(6)
    users, queries, each = 40, 12, 4
    g = torch.Generator().manual_seed(0)
    h = torch.randn(users, queries * each, 6, generator=g, dtype=torch.float64)
    taste = 2 * torch.randn(users, 6, 1, generator=g, dtype=torch.float64)
    query = torch.arange(queries).repeat_interleave(each).expand(users, -1)
    label = ((h @ taste).squeeze(-1) > 0).double()
    rows = PaddedUsers(h.float(), label.float(), torch.ones(users, queries * each), query)
    contrary = torch.arange(users).unsqueeze(1) % 2 == 0
    label = torch.where(rows.held_out() & contrary, 1 - rows.label, rows.label)
    rows = PaddedUsers(rows.z, label, rows.mask, query)
    tuned = {"precision": [1.0] * 7}
    fitted = solve_heads(head, rows, tuned, FitConfig(), "bce")
    assert fitted.kept_shared_head[::2].float().mean() > 0.8
    assert not fitted.kept_shared_head[1::2].any()
    assert bool((fitted.deltas["out_weight"][fitted.kept_shared_head] == 0).all())
    assert bool((fitted.after > fitted.before)[fitted.kept_shared_head].all())
