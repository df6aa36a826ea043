"""How much users differ, estimated from their rows."""

import pytest
import torch

from hydra_ray.models.heads import scores
from hydra_ray.training.user_fit.prior import SMALLEST, estimate_prior, fit_heads_under_prior
from tests.training.user_fit.drawn_users import draw, rows_of, silent


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
