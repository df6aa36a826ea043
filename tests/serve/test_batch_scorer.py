"""One batch of many users: each user's own head, the newest one, and never another user's."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from hydra_ray.errors import UserError
from hydra_ray.inference.types import Component, ScoreRequest, UserKey
from hydra_ray.serve import batch_scorer
from hydra_ray.serve.batch_scorer import BatchScorer, check_room
from hydra_ray.serve.bundle import COMPONENTS
from hydra_ray.serve.config import MIB, ScorerConfig
from hydra_ray.serve.state.folders import Deletions, heads_folder
from tests.serve.world import heads, make_bundle, make_stores

USERS = [UserKey("default", f"u{i}").stored for i in range(20)]
TEXTS = ("red thing", "blue thing", "slow thing")


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> BatchScorer:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("world")
    bundle = make_bundle(folder)
    for store in make_stores(bundle, folder).values():
        store.put(USERS, heads(store, *range(1, 21)))
    return BatchScorer(bundle, folder, ScorerConfig())


def ask(
    user: str | None, component: Component = "reranker", version: int = 0, texts: tuple[str, ...] = TEXTS
) -> ScoreRequest:
    return ScoreRequest(component, user, version, "red text", texts)


def test_the_users_own_head_moves_the_scores_and_no_others(scorer: BatchScorer) -> None:
    plain, own, other = scorer.score([ask(None), ask(USERS[2]), ask(USERS[4], "adapter")])
    assert np.allclose(np.subtract(own.scores, plain.scores), 2 * 3.0, atol=1e-4)
    assert np.allclose(np.subtract(other.scores, plain.scores), 2 * 5.0, atol=1e-4)
    assert [s.own_head for s in (plain, own, other)] == [False, True, True]


def test_users_without_a_head_get_the_shared_one(scorer: BatchScorer) -> None:
    plain, unknown = scorer.score([ask(None), ask(UserKey("default", "nobody").stored)])
    assert unknown == plain


def test_a_query_without_texts_and_an_empty_batch(scorer: BatchScorer) -> None:
    assert scorer.score([]) == []
    assert scorer.score([ask(USERS[0], texts=())])[0].scores == ()


def test_a_batch_says_the_same_as_one_by_one(scorer: BatchScorer) -> None:
    rng = random.Random(0)
    words = ["red", "green", "blue", "sad", "happy", "fast", "slow", "old"]
    batch = [
        ask(
            rng.choice([*USERS, None]),
            rng.choice(COMPONENTS),
            0,
            tuple(f"{w} thing" for w in rng.sample(words, rng.randint(0, 5))),
        )
        for _ in range(60)
    ]
    together, alone = scorer.score(batch), [scorer.score([one])[0] for one in batch]
    for one, other in zip(together, alone, strict=True):
        assert one.own_head == other.own_head
        assert np.allclose(one.scores, other.scores, atol=1e-5)


def test_a_head_that_was_put_is_seen_when_its_version_is_asked_for(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    store = make_stores(bundle, tmp_path)["reranker"]
    store.put(USERS[:1], heads(store, 1.0))
    scorer = BatchScorer(bundle, tmp_path, ScorerConfig())
    before = scorer.score([ask(USERS[0])])[0]
    version = store.put(USERS[:1], heads(store, 4.0))
    assert scorer.score([ask(USERS[0])])[0] == before
    after = scorer.score([ask(USERS[0], version=version)])[0]
    assert np.allclose(np.subtract(after.scores, before.scores), 2 * 3.0, atol=1e-4)
    assert after.version >= version
    gone = store.delete(USERS[:1])
    assert not scorer.score([ask(USERS[0], version=gone)])[0].own_head


def test_a_new_version_is_taken_over_by_a_refresh(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    store = make_stores(bundle, tmp_path)["adapter"]
    scorer = BatchScorer(bundle, tmp_path, ScorerConfig())
    assert not scorer.score([ask(USERS[0], "adapter")])[0].own_head
    store.put(USERS[:1], heads(store, 1.0))
    scorer.refresh()
    assert scorer.score([ask(USERS[0], "adapter")])[0].own_head


def test_after_a_deletion_a_refresh_leaves_no_text(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    make_stores(bundle, tmp_path)
    scorer = BatchScorer(bundle, tmp_path, ScorerConfig())
    assert scorer.embeddings is not None
    before = scorer.score([ask(None)])
    scorer.refresh()
    assert scorer.embeddings.bytes > 0
    Deletions(tmp_path).announce()
    scorer.refresh()
    assert scorer.embeddings.bytes == 0
    assert scorer.score([ask(None)]) == before


def test_a_scorer_that_was_promised_a_gpu_and_has_none_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"^a worker was promised a GPU \(num_gpus=0\.5\)"):
        BatchScorer(make_bundle(tmp_path), tmp_path, ScorerConfig(num_gpus=0.5))


def test_heads_that_a_replicas_gpu_has_no_room_for_are_one_line() -> None:
    config = ScorerConfig(num_gpus=0.25, head_cache_mib=64)
    check_room(config, 2, 128 * MIB)
    with pytest.raises(UserError) as error:
        check_room(config, 2, 128 * MIB - 1)
    assert str(error.value) == (
        "scorer.head_cache_mib=64: the heads of 2 components may take 128 MiB, and a replica has 127 MiB left on its "
        "GPU (num_gpus=0.25): lower head_cache_mib or raise num_gpus"
    )


def test_a_replica_looks_whether_its_gpu_has_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`meta` stands for a device with 1 MiB."""
    monkeypatch.setattr(batch_scorer, "worker_device", lambda num_gpus: torch.device("meta"))
    monkeypatch.setattr(batch_scorer, "free_memory", lambda device, num_gpus: MIB)
    bundle = make_bundle(tmp_path)
    make_stores(bundle, tmp_path)
    with pytest.raises(UserError, match=r"^scorer\.head_cache_mib=64: "):
        BatchScorer(bundle, tmp_path, ScorerConfig(num_gpus=1))


def test_an_unreadable_head_costs_its_user_alone(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    store = make_stores(bundle, tmp_path)["reranker"]
    for i in (0, 1):
        store.put(USERS[i : i + 1], heads(store, float(i)))
    scorer = BatchScorer(bundle, tmp_path, ScorerConfig())
    files = sorted((heads_folder(tmp_path, "reranker") / "data").rglob("*.lance"), key=lambda f: f.stat().st_mtime)
    broken = files[0]
    broken.write_bytes(bytes(len(broken.read_bytes())))
    first, second = scorer.score([ask(USERS[0]), ask(USERS[1])])
    assert first.problem
    assert not first.own_head
    assert second.problem is None
    assert second.own_head


def test_a_version_that_cannot_be_had_costs_its_user_alone(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    store = make_stores(bundle, tmp_path)["reranker"]
    version = store.put(USERS[:2], heads(store, 1.0, 2.0))
    scorer = BatchScorer(bundle, tmp_path, ScorerConfig())
    first, second = scorer.score([ask(USERS[0], version=version + 1), ask(USERS[1], version=version)])
    assert first.problem == f"version {version + 1} of the head store is asked for, {version} is there"
    assert not first.own_head
    assert (second.problem, second.own_head) == (None, True)
    store.put(USERS[:1], heads(store, 3.0))
    newest = max((heads_folder(tmp_path, "reranker") / "_seals").iterdir(), key=lambda file: int(file.stem))
    newest.write_text("broken")
    first, second = scorer.score([ask(USERS[0], version=version + 1), ask(USERS[1], version=version)])
    assert "put" in str(first.problem) or "broken" in str(first.problem)
    assert (second.problem, second.own_head) == (None, True)
