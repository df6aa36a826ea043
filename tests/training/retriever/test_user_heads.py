"""Heads of users who want different things from one retriever that cannot tell them apart."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hydra_ray.config import FitConfig, ModelConfig
from hydra_ray.core.rewards import RewardedList
from hydra_ray.errors import UserError
from hydra_ray.training.artifacts.trained_retriever import TrainedRetriever
from hydra_ray.training.retriever.user_heads import HeadFit, UserLists

TOPIC, MOOD = ("red", "green", "blue"), ("sad", "glad", "calm")
TEXTS = [f"{topic} {mood}" for topic in TOPIC for mood in MOOD]
RETRIEVER = TrainedRetriever("ropg", Path("nowhere"), 6, ModelConfig(), np.eye(6, dtype=np.float32))


def encode(texts: Sequence[str]) -> NDArray[np.float32]:
    """One number for each word."""
    return np.array([[float(word in text.split()) for word in (*TOPIC, *MOOD)] for text in texts], dtype=np.float32)


def lists(user: str, reads: int, count: int = 8) -> list[RewardedList]:
    """Queries of a user for whom an item helps if its topic (reads 0) or its mood (1) is the query's."""
    found = []
    for i in range(count):
        query = TEXTS[i % len(TEXTS)]
        items = tuple(text for text in TEXTS if text != query)
        worth = tuple(float(text.split()[reads] == query.split()[reads]) for text in items)
        found.append(RewardedList(user, query, items, worth))
    return found


def fit(**settings: Any) -> HeadFit:
    """A fit that tries one strength, unless `l2` says otherwise."""
    return HeadFit(RETRIEVER, encode, FitConfig.model_validate({"l2": 0.001, **settings}))


def user(number: int, history: int = 6, questions: int = 3) -> UserLists:
    """Users of even numbers read topics, the others moods. history, questions: numbers of lists."""
    found = lists(f"u{number}", number % 2, history + questions)
    return UserLists.of(f"u{number}", found[:history], found[history:])


def users(count: int, first: int = 0) -> list[UserLists]:
    return [user(number) for number in range(first, first + count)]


def test_what_a_user_reads_counts_more_afterwards() -> None:
    chosen = fit(l2=None).tune(users(6), (0.1, 0.5), None)
    assert chosen.l2 is not None
    assert chosen.ndcg > 0.99 > 0.9 > chosen.ndcg_retriever
    assert chosen.tuning_users == 6
    assert "with heads 1.0000" in str(chosen)
    heads = dict(fit().fit(users(4, 10), chosen))
    assert set(heads) == {"u10", "u11", "u12", "u13"}
    for who, reads in (("u10", 0), ("u11", 1)):
        counts = 1 + heads[who]
        topic, mood = counts[:3].mean(), counts[3:].mean()
        assert (topic > mood) == (reads == 0)


def test_users_do_not_influence_each_other() -> None:
    chosen = fit().tune(users(4), (0.1,), None)
    together, alone = dict(fit().fit(users(3, 10), chosen)), dict(fit(batch_users=1).fit(users(3, 10), chosen))
    assert together.keys() == alone.keys() == {"u10", "u11", "u12"}
    for who, head in together.items():
        assert np.allclose(head, alone[who], atol=1e-5)


def test_nobody_gets_a_head_where_the_training_users_want_the_same() -> None:
    """What the retriever's score says already: the nearest item is the best for all."""

    def near(one: RewardedList) -> RewardedList:
        return replace(one, rewards=tuple((encode(one.items) @ encode([one.query])[0] / 2).tolist()))

    same = [UserLists.of(f"u{i}", map(near, lists("", 0)), map(near, lists("", 0))) for i in range(4)]
    chosen = fit().tune(same, (0.5,), None)
    assert chosen.ndcg_retriever == 1
    assert chosen.l2 is None
    assert "nobody" in str(chosen)
    assert list(fit().fit(users(2), chosen)) == []


def test_lists_that_teach_nothing_and_users_without_any_take_no_part() -> None:
    useless = [replace(one, rewards=(1.0,) * len(one.items)) for one in lists("u9", 0)]
    nobody = UserLists.of("u9", useless, useless)
    assert nobody.history == nobody.questions == ()
    assert fit().tune([nobody], (0.1,), None).l2 is None
    chosen = fit().tune([nobody, *users(4)], (0.1,), None)
    assert chosen.tuning_users == 4
    assert dict(fit().fit([nobody, *users(1, 10)], chosen)).keys() == {"u10"}


def test_questions_judge_and_the_history_alone_is_learned_from() -> None:
    assert fit().tune([user(i, questions=0) for i in range(4)], (0.1,), None).l2 is None
    assert fit().tune([user(i, history=0) for i in range(4)], (0.1,), None).l2 is None
    # Were questions learned from, these would be learned by heart.
    contrary = [replace(user(i), questions=user(i + 1).questions) for i in range(4)]
    assert fit().tune(contrary, (0.1,), None).l2 is None


def test_missing_answers_are_left_out() -> None:
    some = [replace(one, rewards=(math.nan, *one.rewards[1:])) for one in lists("u0", 0)]
    chosen = fit().tune([UserLists.of("u0", some, some), *users(3, 1)], (0.1,), 2.0)
    assert chosen.student == 2.0
    (head,) = dict(fit().fit([UserLists.of("u0", some)], chosen)).values()
    assert np.isfinite(head).all()


def test_an_encoder_of_another_width_is_one_line() -> None:
    other = HeadFit(RETRIEVER, lambda texts: np.ones((len(texts), 4), dtype=np.float32), FitConfig())
    with pytest.raises(UserError, match=r"^ropg: trained on embeddings of 6 numbers, the encoder in use gives 4:"):
        other.tune(users(2), (0.1,), None)


def test_embeddings_that_are_not_finite_are_one_line_with_the_user() -> None:
    broken = HeadFit(RETRIEVER, lambda texts: encode(texts) * np.float32("nan"), FitConfig())
    chosen = fit().tune(users(4), (0.1,), None)
    with pytest.raises(UserError, match=r"^fit: pair embeddings of user 'u10' are NaN or infinite"):
        list(broken.fit(users(2, 10), chosen))
