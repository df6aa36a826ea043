"""The synthetic world: deterministic, private, readable, and as hard as it says."""

import re
from collections import Counter
from itertools import product

import numpy as np
import pytest
from rank_bm25 import BM25Okapi

from hydra_ray.core.tasks import load_task
from hydra_ray.errors import UserError
from hydra_ray.synth.scene import NOISE
from hydra_ray.synth.tagging_words import ASPECTS
from hydra_ray.synth.world import attainable, make_user, user_id_of
from tests.synth.some_people import people

TASKS = ("tagging", "rating", "headline")


@pytest.mark.parametrize("task", TASKS)
def test_a_user_is_a_function_of_seed_and_index(task: str) -> None:
    assert make_user(task, 1, 7, (3, 9), 2) == make_user(task, 1, 7, (3, 9), 2)
    texts = {make_user(task, seed, index, (3, 9), 2).items[0].text for seed in (1, 2) for index in range(10)}
    assert len(texts) > 15


def test_namespaces_share_no_user() -> None:
    world, tiny = make_user("tagging", 1, 7, (5, 5), 1), make_user("tagging", 1, 7, (5, 5), 1, namespace="tiny")
    assert world.user_id != tiny.user_id == user_id_of(7, "tiny")
    assert [i.text for i in world.items] != [i.text for i in tiny.items]


def test_history_sizes_cover_the_range() -> None:
    sizes = Counter(len(make_user("tagging", 0, index, (4, 8), 1).items) for index in range(400))
    assert set(sizes) == {4, 5, 6, 7, 8}


@pytest.mark.parametrize("task", ["tagging", "rating"])
def test_labels_are_the_tasks(task: str) -> None:
    labels = load_task(f"synthetic_{task}").labels
    seen = {item.answer for user in people(task, 200) for item in user.items}
    assert seen == set(labels)


@pytest.mark.parametrize("task", TASKS)
def test_texts_are_short_english(task: str) -> None:
    for user in people(task, 50):
        for item in user.items:
            assert 20 <= len(item.text.split()) <= 40
            assert re.fullmatch(r"[A-Z][A-Za-z ,]+\.( [A-Z][A-Za-z ]+\.)+", item.text), item.text


@pytest.mark.parametrize("task", ["tagging", "rating"])
def test_attainable_holds(task: str) -> None:
    pairs = [(item.clean, item.answer) for user in people(task, 1500) for item in user.items]
    if task == "tagging":
        assert np.mean([a == b for a, b in pairs]) == pytest.approx(attainable(task)["accuracy"], abs=0.01)
    else:
        assert np.mean([abs(int(a) - int(b)) for a, b in pairs]) == pytest.approx(attainable(task)["mae"], abs=0.01)
    assert np.mean([a != b for a, b in pairs]) == pytest.approx(NOISE, abs=0.01)


@pytest.mark.parametrize("task", TASKS)
def test_a_matching_item_has_the_answer(task: str) -> None:
    right = []
    for user in people(task, 100):
        for question in user.questions:
            for index in user.matching(question):
                item = user.items[index]
                same = item.clean == question.clean
                if task == "headline":
                    same = item.key == question.key
                right.append(same)
    assert all(right)


@pytest.mark.parametrize(("task", "gain"), [("tagging", 0.05), ("rating", 0.09), ("headline", 0.09)])
def test_lexical_overlap_misleads_bm25(task: str, gain: float) -> None:
    """The items most similar to a question match it hardly more often than any others."""
    hits, chance = [], []
    for user in people(task, 300, (20, 20)):
        index = BM25Okapi([item.text.split() for item in user.items])
        for question in user.questions:
            top = np.argsort(-index.get_scores(question.text.split()))[:4]
            hits.append(np.mean([user.items[i].key == question.key for i in top]))
            chance.append(len(user.matching(question)) / len(user.items))
    assert np.mean(hits) < np.mean(chance) + gain


def test_what_matters_is_put_in_fresh_words_and_the_rest_in_stock_phrases() -> None:
    for user in people("tagging", 30, (30, 30)):
        for aspect, values in enumerate(ASPECTS.values()):
            for value, phrasings in enumerate(values.values()):
                phrases = [next(p for p in phrasings if p in i.text) for i in user.items if i.values[aspect] == value]
                if aspect != user.taste.aspect:
                    assert len(set(phrases)) <= 1
                else:
                    assert len(set(phrases)) == min(len(phrases), len(phrasings))


def test_every_aspect_and_every_choice_occurs() -> None:
    tastes = [make_user("tagging", 0, index, (1, 1), 1).taste for index in range(600)]
    assert set(product(range(4), range(3))) == {(t.aspect, t.mapping[0] % 3) for t in tastes}


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match="unknown task"):
        make_user("nonsense", 0, 0, (1, 2), 1)
    with pytest.raises(UserError, match="range"):
        make_user("tagging", 0, 0, (5, 2), 1)
    with pytest.raises(UserError, match="unknown task"):
        attainable("nonsense")
