"""The real service from outside: `hydra-ray serve` in a process of its own, four deployments, real stores."""

import asyncio
from collections import Counter

import httpx
import pytest

from tests.serve.load import Alone, Load, plan_of
from tests.serve.run_folder import USERS, item_of
from tests.serve.running import Running, body_of

pytestmark = pytest.mark.cluster

QUESTION = [{"role": "user", "content": "redship oldroad"}]
FITTED = USERS[40:]


def ask(http: httpx.Client, user: str | None, query: str = "redship oldroad", **options: object) -> dict:
    body = {"user_id": user, "query": query, "options": options}
    return body_of(http.post("/v1/personalize", json=body))


def test_a_thousand_interleaved_requests_of_fifty_users(service: Running) -> None:
    """Caches for five heads and a third of the histories; batches and evictions mix everybody."""
    load = Load(service.url, service.auth)
    asyncio.run(load.run(plan_of(1000, fits=FITTED), clients=16))
    assert load.failed == []
    assert set(load.fitted.values()) == {"done"}
    assert sum(load.appended.values()) > 100
    alone = Alone(service.run, service.state)
    for answer in load.asked:
        alone.check(answer)
    with_heads = Counter(tuple(answer.made.trace.versions.own_heads) for answer in load.asked)
    assert with_heads["reranker", "adapter"] > 500
    assert with_heads[()] > 100
    with service.client() as http:
        for user in USERS:
            kept = body_of(http.get(f"/v1/users/{user}/export"))["items"]
            assert [item["item_id"] for item in kept[20:]] == [
                item_of(user, 20 + i).item_id for i in range(load.appended[user])
            ]
