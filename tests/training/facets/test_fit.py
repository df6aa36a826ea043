"""Facets learn from users of two tastes what neither taste alone could say."""

import torch

from hydra_ray.config import FacetsConfig
from hydra_ray.models.facets import FacetModel, FacetShape
from hydra_ray.training.facets.fit import FacetQuery, fit_facets

CONFIG = FacetsConfig(facets=3, top=2, hidden=8, lr=0.01, epochs=40, batch_queries=16, sparse_weight=0.1)
NAN = float("nan")
TEXTS = torch.eye(6)
"""Texts 0 and 1 are histories of two tastes, 2 the query, 3 and 4 what one of the tastes wants, 5 nothing."""


def query(taste: int, missing: bool = False) -> FacetQuery:
    rewards = (float(taste == 0), float(taste == 1), NAN if missing else 0.0)
    return FacetQuery(2, (3, 4, 5), rewards, (taste,) * (1 + taste))


def fitted(
    queries: list[FacetQuery], held_out: list[FacetQuery], config: FacetsConfig = CONFIG
) -> tuple[FacetModel, tuple[float, ...], int]:
    torch.manual_seed(0)
    model = FacetModel(FacetShape(6, config.hidden, config.facets, config.top, 16))
    found = fit_facets(model, TEXTS, queries, held_out, config, 0)
    return model, found.ndcg, found.epoch


def test_each_taste_is_served_by_what_its_history_says() -> None:
    learned = [query(i % 2, missing=i % 3 == 0) for i in range(40)]
    model, ndcg, epoch = fitted(learned, [query(0), query(1)])
    assert len(ndcg) == 41
    assert ndcg[0] < 1 == ndcg[epoch]
    with torch.no_grad():
        for taste in (0, 1):
            weights, _, _ = model.mixture(TEXTS[None, [taste]], torch.ones(1, 1, dtype=torch.bool))
            assert model.scores(TEXTS[None, 2], TEXTS[None, 3:6], weights).argmax().item() == taste


def test_where_nothing_serves_held_out_users_the_order_of_retrieval_stays() -> None:
    model, ndcg, epoch = fitted([query(1)] * 8, [query(0)], FacetsConfig(facets=3, top=2, hidden=8, epochs=3))
    assert (epoch, ndcg[0]) == (0, 1.0)
    assert (model.out == 0).all()


def test_queries_of_unequal_length_and_users_without_history_are_learned_from() -> None:
    short = FacetQuery(2, (3, 4), (1.0, 0.0), ())
    _, ndcg, _ = fitted([query(0), short], [short])
    assert all(0 <= value <= 1 for value in ndcg)
