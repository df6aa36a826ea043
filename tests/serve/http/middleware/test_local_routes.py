import asyncio
import json
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from hydra_ray.serve.http.middleware.local_routes import LOCAL_ROUTE, LocalRoutesMiddleware

NODE, OTHER = "10.0.0.7", "10.0.0.8"


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


def status(path: str, client: str | None, **headers: str) -> tuple[int, Any]:
    """What a client gets from a node's proxy."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": path, "headers": named, "server": (NODE, 8000),
             "client": (client, 50_000) if client else None}  # fmt: skip
    asyncio.run(LocalRoutesMiddleware(answer, ["/llm", ""])(scope, None, send))  # type: ignore[arg-type]
    return sent[0]["status"], json.loads(sent[1]["body"])


@pytest.mark.parametrize("path", ["/llm", "/llm/v1/chat/completions", "/llm/"])
def test_strangers_do_not_reach_the_black_box(path: str) -> None:
    refused, body = status(path, OTHER)
    assert refused == 403
    assert body["error"]["code"] == LOCAL_ROUTE
    assert status(path, None)[0] == 403
    assert status(path, "testclient")[0] == 403


@pytest.mark.parametrize("client", ["127.0.0.1", "::1", NODE])
def test_gateways_of_the_node_do(client: str) -> None:
    assert status("/llm/v1/chat/completions", client)[0] == 200


@pytest.mark.parametrize("header", ["x_forwarded_for", "forwarded", "x_real_ip"])
def test_a_reverse_proxy_on_the_node_speaks_for_strangers(header: str) -> None:
    assert status("/llm/v1/models", "127.0.0.1", **{header: OTHER})[0] == 403


@pytest.mark.parametrize("path", ["/", "/v1/chat/completions", "/llms/v1/models", "/v1/llm"])
def test_all_other_routes_are_open(path: str) -> None:
    assert status(path, OTHER)[0] == 200
