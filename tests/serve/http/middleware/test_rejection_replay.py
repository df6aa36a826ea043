"""What stands in Serve's proxy: repeated refusals, and the proxy's own errors in the clients' shape."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from hydra_ray.serve.http.middleware.admission import FULL, AdmissionMiddleware
from hydra_ray.serve.http.middleware.rejection_replay import FORGET_S, NEW_S, PROBE_EVERY_S, RejectionReplayMiddleware
from hydra_ray.serve.http.route_context import ConcurrencyLimiter

CHAT = "/v1/chat/completions"
Inner = Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]


class Gateway:
    """A gateway with room for two answers, each given when `done` is set. requests: what got here."""

    def __init__(self) -> None:
        self.requests, self.done = 0, asyncio.Event()
        self.slots = ConcurrencyLimiter(2, 3.0)
        self.app = AdmissionMiddleware(self.answer, self.slots, [CHAT])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests += 1
        await self.app(scope, receive, send)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.slots.one():
            await self.done.wait()
        await plain(200, b"an answer", b"application/json")(scope, receive, send)


def plain(status: int, body: bytes, kind: bytes = b"text/plain; charset=utf-8") -> Inner:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", kind), (b"x-request-id", b"known")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body[:3], "more_body": True})
        await send({"type": "http.response.body", "body": body[3:]})

    return app


class Counted:
    def __init__(self) -> None:
        self.refused: list[tuple[str, int]] = []

    def request(self, route: str, status: int) -> None:
        self.refused.append((route, status))

    def watch_queue(self, length: Callable[[], int]) -> None:
        raise AssertionError


async def ask(
    app: Inner | RejectionReplayMiddleware, path: str = CHAT, method: str = "POST", known_as: str = ""
) -> tuple[int, Headers, bytes]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"{}"}

    headers = [(b"x-request-id", known_as.encode())] if known_as else []
    await app({"type": "http", "method": method, "path": path, "headers": headers}, receive, send)
    starts = [message for message in sent if message["type"] == "http.response.start"]
    assert len(starts) == 1
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return starts[0]["status"], Headers(raw=starts[0]["headers"]), body


def test_a_refusal_is_repeated_while_as_much_is_in_work() -> None:
    async def course() -> None:
        now = [100.0]
        gateway, counted = Gateway(), Counted()
        door = RejectionReplayMiddleware(gateway, counted, lambda: now[0])
        first = [asyncio.ensure_future(ask(door)) for _ in range(2)]
        await asyncio.sleep(0)
        asked = [await ask(door, known_as=f"id-{i}") for i in range(4)]
        assert gateway.requests == 3, "the door should have answered three times by itself"
        assert {status for status, _, _ in asked} == {429}
        assert {headers["retry-after"] for _, headers, _ in asked} == {"3"}
        assert len({body for _, _, body in asked}) == 1
        assert json.loads(asked[3][2])["error"]["code"] == "overloaded"
        assert [headers.get("x-request-id") for _, headers, _ in asked[1:]] == ["id-1", "id-2", "id-3"]
        assert all(FULL not in headers for _, headers, _ in asked)
        assert counted.refused == [(f"POST {CHAT}", 429)] * 3

        now[0] += PROBE_EVERY_S  # one is let in to see
        assert [(await ask(door))[0] for _ in range(3)] == [429] * 3
        assert gateway.requests == 4

        gateway.done.set()  # there is room again
        assert [(await answer)[0] for answer in first] == [200, 200]
        assert (await ask(door))[0] == 200

    asyncio.run(course())


def test_more_gateways_are_noticed() -> None:
    async def course() -> None:
        now = [0.0]
        gateway = Gateway()
        door = RejectionReplayMiddleware(gateway, clock=lambda: now[0])
        asking = [asyncio.ensure_future(ask(door)) for _ in range(2)]
        await asyncio.sleep(0)
        assert (await ask(door))[0] == 429
        gateway.slots = ConcurrencyLimiter(5, 3.0)
        gateway.app = AdmissionMiddleware(gateway.answer, gateway.slots, [CHAT])
        now[0] += PROBE_EVERY_S
        probe = asyncio.ensure_future(ask(door))
        await asyncio.sleep(0)
        assert (await ask(door))[0] == 429, "one is let in at a time"
        gateway.done.set()
        assert [(await answer)[0] for answer in (*asking, probe)] == [200] * 3
        gateway.done.clear()
        asking = [asyncio.ensure_future(ask(door)) for _ in range(3)]
        await asyncio.sleep(0)
        assert gateway.requests == 2 + 1 + 1 + 3, "the room has grown by one"
        assert (await ask(door))[0] == 429
        now[0] += FORGET_S  # long enough after the gateway's own refusal
        asking += [asyncio.ensure_future(ask(door)) for _ in range(2)]
        await asyncio.sleep(0)
        gateway.done.set()
        assert [(await answer)[0] for answer in asking] == [200] * 5

    asyncio.run(course())


def test_what_is_refused_together_does_not_count_as_room() -> None:
    async def course() -> None:
        arrived = asyncio.Event()

        async def slow_to_refuse(scope: Scope, receive: Receive, send: Send) -> None:
            await arrived.wait()
            headers = [(b"content-type", b"application/json"), (FULL.encode(), b"1")]
            await send({"type": "http.response.start", "status": 429, "headers": headers})
            await send({"type": "http.response.body", "body": b"{}"})

        calls = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            calls.append(1)
            await (done.wait() if len(calls) <= 2 else slow_to_refuse(scope, receive, send))

        done = asyncio.Event()
        door = RejectionReplayMiddleware(app)
        asking = [asyncio.ensure_future(ask(door)) for _ in range(6)]
        await asyncio.sleep(0)
        arrived.set()
        await asyncio.gather(*asking[2:])
        assert (await ask(door))[0] == 429
        assert len(calls) == 6
        done.set()
        await asyncio.gather(*asking, return_exceptions=True)

    asyncio.run(course())


def test_each_path_has_room_of_its_own() -> None:
    async def course() -> None:
        gateway = Gateway()
        door = RejectionReplayMiddleware(gateway)
        first = [asyncio.ensure_future(ask(door)) for _ in range(2)]
        await asyncio.sleep(0)
        assert (await ask(door))[0] == 429
        other = asyncio.ensure_future(ask(door, "/v1/users/u/fit"))
        await asyncio.sleep(0)
        assert gateway.requests == 4
        assert (await ask(door))[0] == 429
        assert gateway.requests == 4
        other.cancel()
        gateway.done.set()
        await asyncio.gather(*first)

    asyncio.run(course())


def test_a_429_that_is_not_marked_is_not_repeated() -> None:
    async def course() -> None:
        calls = []

        async def limited(scope: Scope, receive: Receive, send: Send) -> None:
            calls.append(1)
            await plain(429, b"slow down", b"application/json")(scope, receive, send)

        door = RejectionReplayMiddleware(limited)
        assert [(await ask(door))[0] for _ in range(3)] == [429] * 3
        assert len(calls) == 3

    asyncio.run(course())


def test_the_proxys_own_errors_are_worded_for_clients() -> None:
    async def course() -> None:
        for method in ("POST", "GET"):
            status, headers, body = await ask(
                RejectionReplayMiddleware(plain(500, b"ActorDiedError: 10.0.0.7 /home/x")),
                method=method,
                known_as="known",
            )
            assert status == 503
            assert headers["retry-after"] == "1"
            assert headers["x-request-id"] == "known"
            assert json.loads(body)["error"]["code"] == "stage_down"
            assert int(headers["content-length"]) == len(body)
            assert b"Actor" not in body

    asyncio.run(course())


def test_a_new_proxy_that_knows_no_gateway_yet() -> None:
    async def course() -> None:
        now = [100.0]
        inner = plain(404, b"Path '/v1/models' not found. Ping http://.../-/routes")
        door = RejectionReplayMiddleware(inner, clock=lambda: now[0])
        for method in ("POST", "GET"):
            status, headers, body = await ask(door, method=method)
            assert (status, headers["retry-after"]) == (503, "1")
            assert json.loads(body)["error"]["code"] == "stage_down"
        ours = plain(404, b'{"error": {}}', b"application/json")
        assert await ask(RejectionReplayMiddleware(ours)) == await ask(ours)
        now[0] += NEW_S  # by now it is the path that is wrong
        assert await ask(door) == await ask(inner)

    asyncio.run(course())


def test_where_the_proxy_sends_nothing_the_client_gets_an_error() -> None:
    async def course() -> None:
        async def silent(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()

        for method in ("POST", "PUT"):
            status, headers, body = await ask(RejectionReplayMiddleware(silent), method=method, known_as="mine")
            assert (status, headers["x-request-id"]) == (503, "mine")
            assert json.loads(body)["error"]["code"] == "stage_down"

    asyncio.run(course())


def test_all_else_passes_as_it_is() -> None:
    async def course() -> None:
        for path, inner in (
            ("/-/healthz", plain(503, b"no route table")),
            (CHAT, plain(500, b'{"error": {}}', b"application/json")),
            ("/docs", plain(200, b"<html>")),
        ):
            assert await ask(RejectionReplayMiddleware(inner), path) == await ask(inner, path)

    asyncio.run(course())


def test_work_that_fails_or_is_cancelled_leaves_no_trace() -> None:
    async def course() -> None:
        async def broken(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.sleep(0)
            raise RuntimeError

        door = RejectionReplayMiddleware(broken)
        asking = asyncio.ensure_future(ask(door))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await asyncio.gather(ask(door), return_exceptions=True)
        assert not door._inside

    asyncio.run(course())
