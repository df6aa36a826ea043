"""The mixture of facets: who gets which heads, and what changes no score."""

import pytest
import torch

from hydra_ray.models.facets import FacetModel, FacetShape

SHAPE = FacetShape(width=12, hidden=8, facets=5, top=2, sparse=32)


@pytest.fixture
def model() -> FacetModel:
    torch.manual_seed(0)
    made = FacetModel(SHAPE).eval()
    torch.nn.init.normal_(made.out)
    return made


def test_a_users_mixture_has_the_best_few_facets_and_sums_to_one(model: FacetModel) -> None:
    history = torch.randn(6, 7, 12)
    weights, error, code = model.mixture(history, torch.ones(6, 7, dtype=torch.bool))
    assert weights.sum(-1).allclose(torch.ones(6))
    assert ((weights > 0).sum(-1) == 2).all()
    assert len({tuple((row > 0).tolist()) for row in weights}) > 1  # not all users are alike
    assert (error > 0).all()
    assert (code >= 0).all()


def test_items_that_do_not_exist_and_their_order_change_nothing(model: FacetModel) -> None:
    history = torch.randn(1, 4, 12)
    alone, _, _ = model.mixture(history, torch.ones(1, 4, dtype=torch.bool))
    padded = torch.cat([history.flip(1), torch.full((1, 3, 12), 9.0)], 1)
    among, _, _ = model.mixture(padded, torch.arange(7).unsqueeze(0) < 4)
    assert alone.allclose(among, atol=1e-6)


def test_a_user_without_history_has_a_mixture_too(model: FacetModel) -> None:
    found = [model.mixture(torch.randn(1, 3, 12), torch.zeros(1, 3, dtype=torch.bool))[0] for _ in range(2)]
    assert found[0].isfinite().all()
    assert found[0].allclose(found[1])
    assert model.mixture(torch.zeros(1, 0, 12), torch.zeros(1, 0, dtype=torch.bool))[0].isfinite().all()


def test_scores_are_those_of_the_mixed_heads(model: FacetModel) -> None:
    query, items = torch.randn(3, 12), torch.randn(3, 4, 12)
    alone = torch.stack([model.scores(query, items, torch.eye(5)[f].repeat(3, 1)) for f in range(5)], -1)
    weights = torch.softmax(torch.randn(3, 5), -1)
    assert model.scores(query, items, weights).allclose((alone * weights.unsqueeze(1)).sum(-1), atol=1e-5)
    assert (FacetModel(SHAPE).scores(query, items, weights) == 0).all()


def test_the_code_is_taught_by_what_it_decodes(model: FacetModel) -> None:
    _, error, _ = model.mixture(torch.randn(2, 3, 12), torch.ones(2, 3, dtype=torch.bool))
    error.sum().backward()
    assert model.decode.weight.grad is not None
    assert model.narrow.weight.grad is not None  # through the code, not through what it is compared with
