"""OpenAI's endpoints that are not here: an answer that names what to use instead."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter

from hydra_ray.serve.http.errors import CHAT_PATH, ApiError

INSTEAD = {
    "completions": f"POST {CHAT_PATH}, with the prompt as the last user message",
    "responses": f"POST {CHAT_PATH}, with `input` as the last user message and `instructions` as the system message",
    "embeddings": "an embedding server; no model that makes embeddings is served here, and the encoder's stay inside",
    "moderations": "the server behind `llm.base_url`; nothing is moderated here",
    "assistants": f"POST {CHAT_PATH}; histories are kept by PUT /v1/users/ID/history",
    "threads": f"POST {CHAT_PATH}, with the conversation's messages in each request",
    "batches": f"POST {CHAT_PATH}, once for each question",
}
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def router() -> APIRouter:
    """The routes; not in the OpenAPI document."""
    routes = APIRouter(include_in_schema=False)
    for name, instead in INSTEAD.items():
        for path in (f"/v1/{name}", f"/v1/{name}/{{rest:path}}"):
            routes.add_api_route(path, _answer(name, instead), methods=METHODS)
    return routes


def _answer(name: str, instead: str) -> Callable[[], Awaitable[None]]:
    async def elsewhere() -> None:
        raise ApiError(404, f"there is no /v1/{name} here; use {instead}", code="unsupported_endpoint")

    return elsewhere
