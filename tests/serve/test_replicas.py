"""What the replicas of the service import, and what they forget."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from hydra_ray.serve.replicas import retriever as retriever_module
from hydra_ray.serve.replicas.retriever import Retriever
from hydra_ray.serve.state import USERS, Deletions
from hydra_ray.serve.users import UserStore
from tests.serve.made_up import ANNA, item
from tests.serve.world import BUCKETS, make_bundle

IMPORTED = """
import sys
import hydra_ray.serve.replicas.gateway, hydra_ray.serve.replicas.retriever
print(*{"torch", "transformers", "lance"} & set(sys.modules))
"""


def test_gateway_and_retriever_import_no_models_and_no_head_store() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("method", ["bm25", "dense"])
def test_a_retriever_forgets_whom_another_process_has_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: Literal["bm25", "dense"]
) -> None:
    monkeypatch.setattr(retriever_module, "FORGET_WITHIN_S", 0.01)
    bundle, users = make_bundle(tmp_path), UserStore.create(tmp_path / USERS, BUCKETS)
    retrieval = bundle.config.retrieval.model_copy(update={"method": method})
    bundle = replace(bundle, config=bundle.config.model_copy(update={"retrieval": retrieval}))
    users.append(ANNA, [item(0)])

    async def course() -> None:
        retriever = Retriever(bundle, tmp_path, cache_mib=1)
        found = await asyncio.gather(*(retriever.retrieve(ANNA, f"text {i}", 1) for i in range(8)))
        assert {one.items for one in found} == {(item(0),)}
        caches = [retriever.histories, *([retriever.vectors] if retriever.vectors else [])]
        assert len(caches) == (2 if method == "dense" else 1)
        assert all(cache.bytes for cache in caches)
        users.delete(ANNA)
        Deletions(tmp_path).say()
        while any(cache.bytes for cache in caches):
            await asyncio.sleep(0.01)
        await retriever.check_health()

    asyncio.run(asyncio.wait_for(course(), 30))
