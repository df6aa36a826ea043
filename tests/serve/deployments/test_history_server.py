"""A history server forgets what another process deletes."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from hydra_ray.serve.deployments import history_server as history_server_module
from hydra_ray.serve.deployments.history_server import HistoryServer
from hydra_ray.serve.state.folders import USERS, Deletions
from hydra_ray.serve.state.user_store import UserStore
from tests.serve.made_up import ANNA, item
from tests.serve.world import BUCKETS, make_bundle


@pytest.mark.parametrize("method", ["bm25", "dense"])
def test_a_history_server_forgets_whom_another_process_has_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: Literal["bm25", "dense"]
) -> None:
    monkeypatch.setattr(history_server_module, "FORGET_WITHIN_S", 0.01)
    bundle, users = make_bundle(tmp_path), UserStore.create(tmp_path / USERS, BUCKETS)
    retrieval = bundle.config.retrieval.model_copy(update={"method": method})
    bundle = replace(bundle, config=bundle.config.model_copy(update={"retrieval": retrieval}))
    users.append(ANNA, [item(0)])

    async def course() -> None:
        server = HistoryServer(bundle, tmp_path, cache_mib=1)
        found = await asyncio.gather(*(server.retrieve(ANNA, f"text {i}", 1) for i in range(8)))
        assert {one.items for one in found} == {(item(0),)}
        caches = [server.histories, *([server.embeddings] if server.embeddings else [])]
        assert len(caches) == (2 if method == "dense" else 1)
        assert all(cache.bytes for cache in caches)
        users.delete(ANNA)
        Deletions(tmp_path).announce()
        while any(cache.bytes for cache in caches):
            await asyncio.sleep(0.01)
        await server.check_health()

    asyncio.run(asyncio.wait_for(course(), 30))


def test_a_removed_record_is_found_no_more_and_kept_in_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_server_module, "FORGET_WITHIN_S", 0.01)
    bundle, users = make_bundle(tmp_path), UserStore.create(tmp_path / USERS, BUCKETS)
    users.append(ANNA, [item(0), item(1)])

    async def course() -> None:
        server = HistoryServer(bundle, tmp_path, cache_mib=1)
        assert len((await server.retrieve(ANNA, "text 1", 5)).items) == 2
        removed = await server.remove_item(ANNA, item(1).item_id)
        assert removed is not None
        assert removed[1]
        while server.histories.bytes:
            await asyncio.sleep(0.01)
        assert (await server.retrieve(ANNA, "text 1", 5)).items == (item(0),)
        page = await server.page(ANNA, 0, 5)
        assert page is not None
        assert page[1] == [item(0)]

    asyncio.run(asyncio.wait_for(course(), 30))
