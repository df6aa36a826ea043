"""Requests as one batch of a trained component."""

from typing import Any

import numpy as np

from hydra_ray.core.queries import make_query
from hydra_ray.core.types import HistoryItem
from hydra_ray.inference.scoring import SHARED, BatchReranker, score_requests
from hydra_ray.inference.types import RetrievalResult, ScoreRequest


class Component:
    """Scores a text by its length, and remembers what it was asked."""

    class scorer:  # noqa: N801
        feature_width = 0

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def score(self, examples: list[Any]) -> list[Any]:
        self.asked += examples
        return [np.array([float(len(text)) for text in example.candidates]) for example in examples]


def test_requests_of_many_users_are_one_batch_and_no_user_is_the_shared_head() -> None:
    component: Any = Component()
    requests = [
        ScoreRequest("adapter", "acme\x1fann", 3, "q1", ("a", "bbb"), ((0.5,), (0.25,))),
        ScoreRequest("adapter", None, 0, "q2", ("cc",)),
    ]
    assert score_requests(component, requests) == [(1.0, 3.0), (2.0,)]
    first, second = component.asked
    assert (first.user_id, first.query, first.candidates, first.features) == (
        "acme\x1fann", "q1", ("a", "bbb"), ((0.5,), (0.25,)),
    )  # fmt: skip
    assert second.user_id == SHARED


def test_items_come_best_first() -> None:
    component: Any = Component()
    items = tuple(HistoryItem(str(i), text, text, "yes") for i, text in enumerate(("bb", "a", "cccc")))
    found = RetrievalResult(items, (3.0, 2.0, 1.0), recencies=(1.0, 0.5, 0.25))
    query = make_query("which?")
    (ranked,) = BatchReranker(component)("u", [query], [found])
    assert [(one.item.item_id, one.place, one.score) for one in ranked] == [("2", 2, 4.0), ("0", 0, 2.0), ("1", 1, 1.0)]
