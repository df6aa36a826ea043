"""The service's API with canned answers, shaped by `hydra_ray.serve.schemas`: what the page is tested against."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from hydra_ray.inference.trace import (
    Degraded,
    PersonalizedAnswer,
    PromptMessage,
    Trace,
    TraceCandidate,
    TraceItem,
    TracePrompt,
    TraceVersions,
)
from hydra_ray.serve.schemas import Export, HistoryPage, KeptItem, NewItem, UserInfo
from hydra_ray.serve.ui import page_router

MARKUP = '<img src=x onerror="document.title=\'broken in\'"><script>document.title="broken in"</script>'
"""A user's text that would do harm if it were taken for HTML."""

LONG = "The harbour was grey, and nobody had thought of bringing a second rope. " * 60
WORD = "Donaudampfschiffahrtsgesellschaft" * 8

RECORDS = [
    ("Clara took a blanket to the gallery. Wind tore at our coats. Lunch was grilled trout.", "ember"),
    ("Nadia drew the castle and a ribbon. We drove there. Haze swallowed the rooftops.", "heron"),
    ("The hostel had a button for Nadia. Pears and plums went around. We came by train.", "lotus"),
    ("Three of us walked to the mill before breakfast. Frost lay on the reeds.", "ember"),
    ("A tandem, a thermos and a map of the canal. It rained from Linden to the lock.", "dune"),
    ("Greta played the fiddle under the arches until the square was full.", "heron"),
    ("We missed the ferry and ate smoked ham on the quay.", "dune"),
    ("The observatory was shut, so we counted lights from the wall.", "indigo"),
    ("Somebody’s dog followed us from the chapel to the bus.", "ember"),
    ("Plums again, and a quarrel about the map.", "lotus"),
]
LABELS = ["birch", "dune", "ember", "heron", "indigo", "lotus"]
RERANKED = (3, 0, 8, 5, 1, 2, 9, 4, 6, 7)
"""Positions in RECORDS, best first after the reranker."""


class CannedApi:
    """key: what requests must bring (None: none). exported: users who were. requests: bodies of `/v1/personalize`, as
    they arrived. error: what the next answers are instead: (status, message, headers). held: while it is set, no answer
    comes."""

    def __init__(self) -> None:
        self.key: str | None = None
        self.error: tuple[int, str, dict[str, str]] | None = None
        self.requests: list[dict[str, Any]] = []
        self.exported: list[str] = []
        self.held = threading.Event()
        self.users = {f"u{i:03d}": _user(f"u{i:03d}", 3 + i) for i in range(120)}
        self.users |= {name: _user(name, 1) for name in ("empty", "hostile", "long", "lonely")}
        self.users["empty"] = _user("empty", 0)
        self.app = FastAPI()
        self.app.include_router(page_router())
        self._routes()

    def _routes(self) -> None:
        app = self.app

        @app.middleware("http")
        async def authorise(request: Request, following: Any) -> Response:
            wanted = f"Bearer {self.key}"
            if self.key and request.url.path.startswith("/v1") and request.headers.get("authorization") != wanted:
                return _error(401, "this service needs an API key")
            return await following(request)

        @app.get("/v1/models")
        async def models() -> dict[str, Any]:
            model = {"id": "quickstart", "object": "model", "created": 0, "owned_by": "hydra_ray"}
            return {
                "object": "list",
                "data": [{**model, "hydra": {"task": "synthetic_tagging", "run": "quickstart", "labels": LABELS}}],
            }

        @app.get("/v1/users")
        async def users(prefix: str = "", limit: int = 100) -> dict[str, Any]:
            return {"data": [self.users[name] for name in sorted(self.users) if name.startswith(prefix)][:limit]}

        @app.get("/v1/users/{name}")
        async def user(name: str) -> Any:
            return self.users.get(name) or _error(404, f"no user {name!r}")

        @app.get("/v1/users/{name}/history")
        async def history(name: str, offset: int = 0, limit: int = 100) -> HistoryPage:
            text, answer = (WORD, "dune") if name == "long" else RECORDS[offset % len(RECORDS)]
            items = [KeptItem(item_id=f"{name}-{offset}", text=text, answer=answer)]
            return HistoryPage(user_id=name, data=items, total=self.users[name].items)

        @app.get("/v1/users/{name}/export")
        async def export(name: str) -> Export:
            self.exported.append(name)
            return Export(user=self.users[name], items=[], heads={})

        @app.delete("/v1/users/{name}")
        async def delete(name: str) -> Any:
            return {"user_id": name, "deleted": self.users.pop(name, None) is not None}

        @app.put("/v1/users/{name}/history")
        async def append(name: str, body: dict[str, list[NewItem]]) -> UserInfo:
            old = self.users.get(name) or _user(name, 0)
            changed = {"items": old.items + len(body["items"]), "revision": old.revision + 1, "stale": True}
            self.users[name] = old.model_copy(update=changed)
            return self.users[name]

        @app.post("/v1/users/{name}/fit")
        async def fit(name: str) -> UserInfo:
            self.users[name] = self.users[name].model_copy(update={"fit": "done", "stale": False})
            return self.users[name].model_copy(update={"fit": "running"})

        @app.post("/v1/personalize")
        async def personalize(request: Request) -> Any:
            body = await request.json()
            self.requests.append(body)
            while self.held.is_set():
                await asyncio.sleep(0.01)
            if self.error:
                return _error(*self.error)
            return answer_of(body["user_id"], body["query"])


@contextlib.contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The app on a free port of the loopback device: its base URL."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the server did not start")
            thread.join(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def answer_of(user: str, query: str) -> PersonalizedAnswer:
    """The canned answer; the users `empty`, `hostile`, `long` and `lonely` have what their names say, `lonely` besides
    every degradation."""
    if user == "hostile":
        return _answer(user, [(MARKUP, MARKUP)], MARKUP, MARKUP)
    if user == "long":
        return _answer(user, [(LONG, WORD), (WORD, LONG[:300])], LONG[:900], LONG[:700])
    if user == "empty":
        return _answer(user, [], "birch", "birch")
    if user == "lonely":
        made = _answer(user, RECORDS[:4], "ember", "birch", reranked=False)
        made.trace.degraded = [
            Degraded(reason="reranker_down", detail="the scorer does not answer"),
            Degraded(reason="adapter_down", detail="the scorer does not answer"),
        ]
        for candidate in made.trace.candidates:
            candidate.adapter = candidate.weight = None
        return made
    return _answer(user, RECORDS, "ember", "birch")


def _answer(
    user: str, records: list[tuple[str, str]], best: str, plain: str, reranked: bool = True
) -> PersonalizedAnswer:
    order = [place for place in RERANKED if place < len(records)] if reranked else list(range(len(records)))
    retrieved = [
        TraceItem(
            item_id=f"{user}-{17 * start % 23}",
            text=records[start][0],
            answer=records[start][1],
            date=f"2020-0{1 + start % 9}-1{start % 9}",
            bm25=round(14.2 / (1 + 0.31 * start), 3),
            bm25_rank=start,
            reranker=2.31 - 0.63 * rank if reranked else None,
            rank=rank,
            in_prompt=rank < 4,
        )
        for rank, start in enumerate(order)
    ]
    others = ["heron", "dune", "lotus", "indigo"] if records else []
    candidates = [TraceCandidate(text=best, votes=4, own=False, adapter=1.874, weight=0.512)]
    candidates += [
        TraceCandidate(text=text, votes=max(0, 2 - i), own=i > 1, adapter=0.41 - 0.83 * i, weight=0.231 / (1 + i))
        for i, text in enumerate(others)
    ]
    return PersonalizedAnswer(
        answer=best,
        answers=[best],
        plain=plain,
        trace=Trace(
            request_id="req-5f1c0b7e",
            user_id=user,
            task="synthetic_tagging",
            items=len(records) + (13 if len(records) == len(RECORDS) else 0),
            retrieved=retrieved,
            prompt=TracePrompt(
                words=143,
                tokens=188,
                examples=min(4, len(records)),
                messages=[PromptMessage(role="user", content="\n\n".join(text for text, _ in records[:4]) or "empty")],
            ),
            candidates=candidates,
            versions=TraceVersions(
                run="quickstart",
                hydra_ray="0.1.0",
                history=1 if records else 0,
                reranker_heads=3,
                adapter_heads=2,
                own_heads=["reranker", "adapter"] if len(records) == len(RECORDS) else [],
            ),
            ms={"retrieve": 1.42, "rerank": 18.7, "llm": 212.31, "select": 11.06, "total": 245.9},
            llm_tokens=1264,
        ),
    )


def _user(name: str, items: int) -> UserInfo:
    return UserInfo(user_id=name, items=items, revision=1, fit="imported", stale=False)


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    shape = {"error": {"message": message, "type": "error", "param": None, "code": None}}
    return JSONResponse(shape, status_code=status, headers=headers)
