from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hydra_ray.config import RetrievalConfig
from hydra_ray.core.features import answer_frequencies
from hydra_ray.core.retrieval import BM25Retriever
from hydra_ray.core.tasks import load_task
from hydra_ray.inference.types import RetrievalResult, UserKey
from hydra_ray.serve.history_retriever import Histories, estimate
from hydra_ray.serve.state.sqlite.user_store import SQLiteUserStore
from hydra_ray.serve.state.users import HistoryUnreadableError
from tests.serve.made_up import ANNA, BERT, item

TASK = load_task("synthetic_tagging")
ITEMS = [item(i, f"word{i % 3} word{i % 5} other", f"tag{i % 2}") for i in range(15)]


@pytest.fixture
def store(tmp_path: Path) -> SQLiteUserStore:
    return SQLiteUserStore.create(tmp_path / "users", 2)


def histories(store: SQLiteUserStore, most_bytes: int = 1 << 20, method: str = "bm25") -> Histories:
    return Histories(store, RetrievalConfig.model_validate({"method": method}), TASK, 0, most_bytes)


def test_what_the_main_job_would_find(store: SQLiteUserStore) -> None:
    store.append(ANNA, ITEMS)
    found = histories(store).found(ANNA, "word1 word2", 4)
    want = BM25Retriever(ITEMS).top("word1 word2", 4)
    assert list(zip(found.items, found.scores, strict=True)) == want
    assert found.answer_counts == answer_frequencies([item.answer for item in ITEMS])
    assert {answer: record[0] for answer, record in found.answer_counts.items()} == {"tag0": 8, "tag1": 7}
    assert found.state == store.state(ANNA)
    assert list(found.recencies) == [(ITEMS.index(item) + 1) / 15 for item in found.items]


def test_no_user_and_no_items(store: SQLiteUserStore) -> None:
    kept = histories(store)
    assert kept.found(ANNA, "word", 4) == RetrievalResult()
    state = store.append(ANNA, [])
    assert kept.found(ANNA, "word", 4) == RetrievalResult(state=state)


def test_what_another_process_appends_replaces_or_deletes_is_seen_at_once(
    store: SQLiteUserStore, tmp_path: Path
) -> None:
    kept, other = histories(store), SQLiteUserStore.open(tmp_path / "users")
    other.append(ANNA, ITEMS)
    assert "new" not in kept.found(ANNA, "brandnew", 1).items[0].text
    other.append(ANNA, [item(99, "brandnew", "fresh")])
    found = kept.found(ANNA, "brandnew", 1)
    assert (found.items[0].text, found.answer_counts["fresh"][0]) == ("brandnew", 1)
    other.set_fit(ANNA, "done", fitted_revision=2, heads={"reranker": 8})
    before = kept.misses
    assert kept.found(ANNA, "brandnew", 1).state == other.state(ANNA)
    assert kept.misses == before  # a fit changes no record
    other.delete(ANNA)
    assert kept.found(ANNA, "brandnew", 1) == RetrievalResult()
    assert kept.bytes == 0
    other.append(ANNA, [item(0, "reborn")])
    assert [some.text for some in kept.found(ANNA, "reborn", 5).items] == ["reborn"]


def test_a_deleted_user_who_is_back_before_the_next_question(store: SQLiteUserStore, tmp_path: Path) -> None:
    kept, other = histories(store), SQLiteUserStore.open(tmp_path / "users")
    other.append(ANNA, [item(0, "old")])
    kept.found(ANNA, "x", 1)
    other.delete(ANNA)
    other.append(ANNA, [item(0, "new")])  # as many changes as the old one had
    assert [some.text for some in kept.found(ANNA, "x", 1).items] == ["new"]


def test_the_least_recently_asked_go_first_and_bytes_stay_below_the_limit(store: SQLiteUserStore) -> None:
    users = [UserKey("t", f"u{i}") for i in range(4)]
    for user in users:
        store.append(user, ITEMS)
    size = estimate(ITEMS, RetrievalConfig())
    kept = histories(store, 2 * size)
    for user in (users[0], users[1], users[0], users[2], users[0], users[1]):
        kept.found(user, "x", 1)
        assert kept.bytes <= 2 * size
    assert (kept.hits, kept.misses) == (2, 4)
    store.append(BERT, [item(i, "a long text " * 99) for i in range(30)])  # larger than all room: no other is dropped
    assert len(kept.found(BERT, "x", 3).items) == 3
    kept.found(users[1], "x", 1)
    assert (kept.hits, kept.misses) == (3, 5)


def test_a_look_for_deleted_users_makes_none_recent(store: SQLiteUserStore) -> None:
    users = [UserKey("t", f"u{i}") for i in range(3)]
    for user in users:
        store.append(user, ITEMS)
    kept = histories(store, 2 * estimate(ITEMS, RetrievalConfig()))
    for user in (users[0], users[1], users[0]):
        kept.found(user, "x", 1)
    kept.forget_deleted()
    kept.found(users[2], "x", 1)  # takes the place of users[1], which was asked for longest ago
    kept.found(users[0], "x", 1)
    assert (kept.hits, kept.misses) == (2, 3)


def test_a_deleted_user_is_in_no_memory(store: SQLiteUserStore) -> None:
    kept = histories(store)
    for user in (ANNA, BERT):
        store.append(user, ITEMS)
        kept.found(user, "x", 1)
    store.delete(ANNA)
    kept.forget_deleted()
    assert kept.bytes == estimate(ITEMS, RetrievalConfig())
    kept.found(BERT, "x", 1)
    assert kept.hits == 1


@pytest.mark.parametrize("method", ["recency", "random", "dense"])
def test_other_methods(store: SQLiteUserStore, method: str) -> None:
    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([[text.count("word1"), text.count("word2"), 1] for text in texts], np.float32)

    store.append(ANNA, ITEMS)
    config = RetrievalConfig.model_validate({"method": method})
    found = Histories(store, config, TASK, 0, 1 << 20, encode).found(ANNA, "word1 word2", 3)
    if method == "recency":
        assert found.items == tuple(ITEMS[:-4:-1])
    if method == "dense":
        assert {"word1", "word2"} <= set(found.items[0].text.split())
    assert list(found.scores) == sorted(found.scores, reverse=True)
    assert len(found.items) == 3


def test_a_broken_file_is_an_error_even_for_a_kept_index(store: SQLiteUserStore, tmp_path: Path) -> None:
    store.append(ANNA, ITEMS)
    kept = histories(store)
    kept.found(ANNA, "x", 1)
    for file in (tmp_path / "users").glob("*.sqlite"):
        file.write_bytes(b"\0" * 9000)
    with pytest.raises(HistoryUnreadableError):
        kept.found(ANNA, "x", 1)
