"""The LLM's own answer, whole or streamed: as it came, under our model's name."""

import json
import math
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hydra_ray.llm.types import without_surrogates
from hydra_ray.version import __version__

DONE = "data: [DONE]\n\n"


def plain_completion(tree: Mapping[str, Any], model: str, run: str) -> dict[str, Any]:
    """The answer as a whole. tree: the LLM's server's."""
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "created": int(time.time()),
        **tree,
        "object": "chat.completion",
        "model": model,
        "hydra": _hydra(run),
    }


def strict_json(tree: Any) -> str:
    """JSON that every client reads: what is no number is null, half a character is U+FFFD."""
    return without_surrogates(json.dumps(_finite(tree), ensure_ascii=False, allow_nan=False))


class PlainStream:
    """The answer as server-sent events: the LLM's own chunks, under our model's name."""

    def __init__(self, model: str, run: str, include_usage: bool) -> None:
        self._model, self._run, self._include_usage = model, run, include_usage
        self._head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time())}
        self._begun = False

    def write(self, tree: Mapping[str, Any], write: Callable[[str], None]) -> None:
        """Writes a chunk of the LLM's; a whole answer, where it does not stream, as chunks of ours."""
        whole = any("message" in choice for choice in tree.get("choices") or [])
        for chunk in _chunks(tree) if whole else [tree]:
            self._write_chunk(chunk, write)

    def _write_chunk(self, tree: Mapping[str, Any], write: Callable[[str], None]) -> None:
        choices = tree.get("choices") or []
        shown = {name: value for name, value in tree.items() if name != "usage" or self._include_usage}
        if not choices and not shown.get("usage"):
            return
        first = {} if self._begun else {"hydra": _hydra(self._run)}
        self._begun = True
        named = {"object": "chat.completion.chunk", "model": self._model, "choices": choices, **first}
        write(f"data: {strict_json({**self._head, **shown, **named})}\n\n")


def _chunks(tree: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A whole answer in pieces: per choice its role, all that it holds, and its end; then the tokens."""
    head = {name: tree[name] for name in ("id", "created") if name in tree}
    for place, choice in enumerate(tree["choices"]):
        index, message = choice.get("index", place), choice.get("message")
        message = message if isinstance(message, Mapping) else {}
        delta = {name: value for name, value in message.items() if name != "role" and value is not None}
        if isinstance(calls := delta.get("tool_calls"), list):
            delta["tool_calls"] = [{"index": i, **call} for i, call in enumerate(calls) if isinstance(call, Mapping)]
        role = {"role": message.get("role") or "assistant"}
        yield {**head, "choices": [{"index": index, "delta": {**role, "content": ""}, "finish_reason": None}]}
        full = {"index": index, "delta": delta, "logprobs": choice.get("logprobs"), "finish_reason": None}
        yield {**head, "choices": [full]}
        yield {
            **head,
            "choices": [{"index": index, "delta": {}, "finish_reason": choice.get("finish_reason") or "stop"}],
        }
    yield {**head, "choices": [], "usage": tree.get("usage")}


def _hydra(run: str) -> dict[str, Any]:
    return {"plain": True, "degraded": [], "versions": {"run": run, "hydra_ray": __version__}}


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list) else value
