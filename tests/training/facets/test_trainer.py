"""From answers to facets as a folder, and what they read of a user."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hydra_ray.config import FacetsConfig, ModelConfig
from hydra_ray.core.retrieval import TextEncode
from hydra_ray.core.rewards import RewardedList
from hydra_ray.core.tasks import load_task
from hydra_ray.core.types import HistoryItem, User
from hydra_ray.errors import UserError
from hydra_ray.training.artifacts.trained_facets import DESCRIPTION, TrainedFacets
from hydra_ray.training.facets.trainer import train_facets

TASK = load_task("synthetic_tagging")
CONFIG = FacetsConfig(facets=3, top=2, hidden=8, lr=0.01, epochs=40, batch_queries=8, sparse_weight=0.1)


def encode(texts: list[str]) -> NDArray[np.float32]:
    """One number for each of a few words."""
    words = ("ask", "old", "new", "plain", "apple", "pear")
    return np.array([[float(word in text) for word in words] for text in texts], dtype=np.float32)


def user(number: int) -> User:
    taste = ("old", "new")[number % 2]
    items = tuple(HistoryItem(f"{i}", f"{taste} {i}", f"{taste} {i}", "tag", f"2020-01-0{i + 1}") for i in range(3))
    return User(f"u{number}", "train", items, ())


def rewarded(number: int) -> RewardedList:
    right = number % 2
    return RewardedList(f"u{number}", "ask", ("apple", "pear", "plain"), (1.0 - right, float(right), 0.0))


def trained(folder: Path, encode: TextEncode = encode) -> list[str]:
    lines: list[str] = []
    folder.mkdir()
    users, lists = [user(i) for i in range(20)], [rewarded(i) for i in range(20)]
    train_facets(TASK, users, lists, CONFIG, ModelConfig(), encode, 0, folder, lines.append)
    return lines


ITEMS = [HistoryItem(text, text, text, "tag", "") for text in ("plain", "pear", "apple")]


@pytest.mark.parametrize(("number", "wanted"), [(0, "apple"), (1, "pear")])
def test_what_is_read_again_ranks_by_the_users_history(tmp_path: Path, number: int, wanted: str) -> None:
    (line,) = trained(tmp_path / "mof")
    assert line.startswith("mof: 16 queries learned from, epoch ")
    about = json.loads((tmp_path / "mof" / DESCRIPTION).read_text())
    assert about["queries"] == [16, 4]
    scores = TrainedFacets.load(tmp_path / "mof").scores("ask", ITEMS, user(number).items, encode, False)
    assert ITEMS[int(np.argmax(scores))].text == wanted


def test_equal_seeds_learn_the_same_whatever_was_drawn_before(tmp_path: Path) -> None:
    trained(tmp_path / "one")
    torch.rand(3)
    trained(tmp_path / "two")
    one, two = (TrainedFacets.load(tmp_path / name).model.state_dict() for name in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_the_router_does_not_see_the_item_that_is_asked(tmp_path: Path) -> None:
    """Nor where a stand-in words the item in another way, as LaMP 7's does."""
    read: list[str] = []

    def reading(texts: list[str]) -> NDArray[np.float32]:
        read.extend(texts)
        return encode(texts)

    users = [replace(user(i), items=user(i).items[:1]) for i in range(8)]
    lists = [replace(rewarded(i), query=f"ask {i}", asked="0" if i % 4 else None) for i in range(8)]
    train_facets(TASK, users, lists, CONFIG, ModelConfig(), reading, 0, tmp_path, print)
    shown = {text for text in read if text.endswith("tag")}
    assert shown == {"old 0\ntag"}  # to the two users who are asked a question
    read.clear()
    lists = [replace(one, asked="0") for one in lists]
    train_facets(TASK, users, lists, CONFIG, ModelConfig(), reading, 0, tmp_path, print)
    assert not [text for text in read if text.endswith("tag")]


def test_no_answers_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^mof: the LLM has answered no training query after single history items"):
        train_facets(TASK, [user(0)], [], CONFIG, ModelConfig(), encode, 0, tmp_path, print)
    alone = [rewarded(0), replace(rewarded(1), rewards=(1.0, 1.0, 1.0))]
    with pytest.raises(UserError, match=r"^mof: 1 of 2 training users have a query"):
        train_facets(TASK, [user(0), user(1)], alone, CONFIG, ModelConfig(), encode, 0, tmp_path, print)
