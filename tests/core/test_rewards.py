"""Graded rewards of single history items: values worked out by hand."""

import math
from dataclasses import replace

import pytest

from hydra_ray.core.labeling import Row
from hydra_ray.core.rewards import RewardedList, ndcg, rewarded_lists, rewards
from hydra_ray.core.tasks import Task, load_task
from hydra_ray.core.types import HistoryItem, User

TAGGING, RATING, HEADLINE = (load_task(f"synthetic_{name}") for name in ("tagging", "rating", "headline"))


def test_a_label_is_right_or_wrong() -> None:
    right, wrong = TAGGING.labels[:2]
    assert rewards(TAGGING, right, [right, f"Tag: {right}", wrong, "", None])[:4] == [1, 1, 0, 0]
    assert math.isnan(rewards(TAGGING, right, [right, None])[1])
    assert all(map(math.isnan, rewards(TAGGING, right, [None, None])))


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_a_rating_loses_its_distance_as_a_share_of_the_farthest(metric: str) -> None:
    task = Task.model_validate({**RATING.model_dump(), "primary_metric": metric})
    assert task.labels == ("1", "2", "3", "4", "5")
    # From 2 the farthest is 5, three away; from 3 both ends are two away. What is no number is at the farthest end.
    assert rewards(task, "2", ["2", "3", "4", "5", "no idea"]) == pytest.approx([1, 2 / 3, 1 / 3, 0, 0])
    assert rewards(task, "3", ["1", "4"]) == pytest.approx([0, 0.5])


def test_free_text_has_its_rouge() -> None:
    task = Task.model_validate({**HEADLINE.model_dump(), "primary_metric": "rouge1"})
    # Two of the answer's two words, two of the gold's four: precision 1, recall 1/2.
    assert rewards(task, "four words of gold", ["words gold", "nothing alike"]) == pytest.approx([2 / 3, 0])


def user() -> User:
    items = tuple(
        HistoryItem(f"i{i}", f"text {i}", f"title text {i}", TAGGING.labels[0], f"2020-01-0{i}") for i in (1, 2)
    )
    return User("u", "train", items, ())


def test_lists_hold_what_retrieval_searches() -> None:
    right, wrong = TAGGING.labels[:2]
    asked = Row("u", "p:9", "what", right, ("text 2", "text 1", "gone"), (), ((right,), (wrong,), (right,)))
    known = Row("u", "h:1", "what", right, ("text 2",), (1.0,))
    unanswered = Row("u", "p:8", "what", right, ("text 1", "text 2"), (), ((), (right,)))
    strange = Row("another", "p:7", "what", right, ("text 1",), (), ((right,),))
    first, second = rewarded_lists(TAGGING, [user()], [asked, known, unanswered, strange], use_date=True)
    assert first == RewardedList(
        "u", "what", ("title text 2 date: 2020-01-02", "title text 1 date: 2020-01-01"), (1.0, 0.0), "9"
    )
    assert first.teaches
    assert math.isnan(second.rewards[0])
    assert second.rewards[1] == 1
    assert not second.teaches
    (plain,) = rewarded_lists(TAGGING, [user()], [asked])
    assert plain.items == ("title text 2", "title text 1")


def test_what_the_history_knows_is_a_list_where_it_is_wanted() -> None:
    known = Row("u", "h:1", "what", "x", ("text 2", "gone", "text 1"), (1.0, 0.0, 0.0))
    assert list(rewarded_lists(TAGGING, [user()], [known])) == []
    (found,) = rewarded_lists(TAGGING, [user()], [known], known=True)
    assert found == RewardedList("u", "what", ("title text 2", "title text 1"), (1.0, 0.0), "1")
    (real,) = rewarded_lists(TAGGING, [user()], [replace(known, query_id="q:5:1")], known=True)
    assert real.asked is None


def test_ndcg_of_an_order() -> None:
    # Ideal order 1, 0.5, 0: 1 + 0.5 / log2(3). The scores put the best item last.
    ideal = 1 + 0.5 / math.log2(3)
    assert ndcg([1, 0.5, 0], [0.1, 0.3, 0.2]) == pytest.approx((0.5 + 1 / 2) / ideal)
    assert ndcg([1, 0.5, 0], [3, 2, 1]) == 1
    # The item without a reward takes no rank; without any gain there is nothing to lose.
    assert ndcg([float("nan"), 0.5, 1], [9, 1, 2]) == 1
    assert ndcg([0, 0], [1, 2]) == 1
