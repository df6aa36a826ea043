"""The LLM's own answer, whole or streamed: as it came, under our model's name."""

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import hydra_ray


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


def plain_events(tree: Mapping[str, Any], model: str, run: str, include_usage: bool) -> Iterator[str]:
    """The answer as server-sent events: per choice its role, all it holds, and its end; then `[DONE]`."""
    whole = plain_completion(tree, model, run)
    head = {"id": whole["id"], "object": "chat.completion.chunk", "created": whole["created"], "model": model}

    def event(choices: list[dict[str, Any]], **more: Any) -> str:
        return f"data: {json.dumps({**head, 'choices': choices, **more})}\n\n"

    for place, choice in enumerate(whole["choices"]):
        index, message = choice.get("index", place), choice.get("message") or {}
        delta = {name: value for name, value in message.items() if name != "role" and value is not None}
        if delta.get("tool_calls"):
            delta["tool_calls"] = [{"index": i, **call} for i, call in enumerate(delta["tool_calls"])]
        first = {"hydra": _hydra(run)} if place == 0 else {}
        role = {"role": message.get("role") or "assistant"}
        yield event([{"index": index, "delta": {**role, "content": ""}, "finish_reason": None}], **first)
        yield event([{"index": index, "delta": delta, "logprobs": choice.get("logprobs"), "finish_reason": None}])
        yield event([{"index": index, "delta": {}, "finish_reason": choice.get("finish_reason") or "stop"}])
    if include_usage:
        yield event([], usage=whole.get("usage"))
    yield "data: [DONE]\n\n"


def _hydra(run: str) -> dict[str, Any]:
    return {"plain": True, "degraded": [], "versions": {"run": run, "hydra_ray": hydra_ray.__version__}}
