"""Heads in memory: bounded in bytes, and never another base's."""

import math
from pathlib import Path

import pytest
import torch

from hydra_ray.errors import UserError
from hydra_ray.inference.types import UserKey
from hydra_ray.serve.caches.head_cache import ENTRY_BYTES, HeadCache, head_bytes
from hydra_ray.serve.state.folders import heads_folder
from hydra_ray.training.artifacts.trained_scorer import fingerprint
from tests.serve.world import heads, make_bundle, make_stores

USERS = [UserKey("default", f"u{i}").stored for i in range(20)]


def test_memory_is_bounded_in_bytes(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    store = make_stores(bundle, tmp_path)["reranker"]
    store.put(USERS, heads(store, *range(20)))
    each = store.spec.row_bytes + ENTRY_BYTES
    live = HeadCache(str(heads_folder(tmp_path, "reranker")), fingerprint(bundle.base["reranker"]), 5 * each)
    for user in USERS:
        live.prepare({user: 0})
        assert live.has_own(user)
        assert live.bytes <= 5 * each
    live.prepare(dict.fromkeys(USERS[-5:], 0))
    assert live.hits == 5
    live.prepare(dict.fromkeys(USERS, 0))
    # A batch of more users than are kept is served whole.
    assert torch.equal(live.of(USERS)["out_bias"][:, 1], torch.arange(20.0))


def test_on_a_device_hot_heads_stay_there_and_are_counted_as_its_allocator_rounds(tmp_path: Path) -> None:
    """`meta` stands for the device: what is there cannot come back."""
    bundle = make_bundle(tmp_path)
    store = make_stores(bundle, tmp_path)["reranker"]
    store.put(USERS[:2], heads(store, 1.0, 2.0))
    device, base = torch.device("meta"), fingerprint(bundle.base["reranker"])
    each = head_bytes(store.spec.shapes, device)
    assert each == sum(-(-4 * math.prod(shape) // 512) * 512 for shape in store.spec.shapes.values())
    live = HeadCache(str(heads_folder(tmp_path, "reranker")), base, 1 << 20, device)
    live.prepare(dict.fromkeys(USERS[:3], 0))
    found = live.of(USERS[:3])
    assert {name: (value.device, value.shape) for name, value in found.items()} == {
        name: (device, (3, *shape)) for name, shape in store.spec.shapes.items()
    }
    assert live.bytes == 3 * (each + ENTRY_BYTES)
    live.prepare(dict.fromkeys(USERS[:2], 0))
    assert live.hits == 2


def test_a_version_vacuumed_away_leaves_no_old_head_in_memory(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    store = make_stores(bundle, tmp_path)["reranker"]
    store.put(USERS[:2], heads(store, 1.0, 2.0))
    live = HeadCache(str(heads_folder(tmp_path, "reranker")), fingerprint(bundle.base["reranker"]), 1 << 20)
    live.prepare({USERS[0]: 0})
    store.put(USERS[:1], heads(store, 5.0))
    store.vacuum()
    live.prepare({USERS[1]: 0, USERS[0]: 0})  # the second is read at another version than the first was
    assert live.of(USERS[:2])["out_bias"][:, 1].tolist() == [5.0, 2.0]
    store.put(USERS[:1], heads(store, 6.0))
    store.vacuum()
    live.prepare({USERS[2]: 0})
    live.refresh()
    live.prepare({USERS[0]: 0})
    assert live.of(USERS[:1])["out_bias"][:, 1].tolist() == [6.0]


def test_heads_of_another_base_are_refused(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    make_stores(bundle, tmp_path)
    with pytest.raises(UserError, match="another base"):
        HeadCache(str(heads_folder(tmp_path, "reranker")), "another base", 1 << 20)
