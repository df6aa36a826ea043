"""What is asked and what comes back, and the key under which a call's answer is kept."""

import hashlib
import json
from dataclasses import dataclass
from typing import NotRequired, TypedDict

from hydra_ray.core.prompts import Message


class Record(TypedDict):
    """What one call returned, as the cache keeps it. `texts` may be fewer than were asked for.

    cut: places of the texts that `max_tokens` ended; left out where there are none, and unknown of older entries.
    """

    texts: list[str]
    prompt_tokens: int
    completion_tokens: int
    cut: NotRequired[list[int]]


@dataclass(frozen=True, slots=True)
class Request:
    """A chat prompt and how to sample from it.

    n: answers wanted. max_tokens: longest answer, in tokens. seed: None leaves the draw to the server.
    """

    messages: tuple[Message, ...]
    temperature: float = 0.0
    n: int = 1
    max_tokens: int = 16
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.n < 1 or self.max_tokens < 1 or not self.messages:
            raise ValueError(f"a request needs messages, n >= 1 and max_tokens >= 1: {self}")


@dataclass(frozen=True, slots=True)
class Answer:
    """The texts for one request.

    texts: `n` of them, in sampling order; fewer if `error` is set. prompt_tokens, completion_tokens: as the server
    counted them when the answer was paid for. cached: nothing was paid this time. error: why texts are missing, one
    line, None if none are.
    """

    texts: tuple[str, ...]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached: bool = False
    error: str | None = None


class _RequestJSON(TypedDict):
    messages: list[Message]
    temperature: float
    n: int
    max_tokens: int
    seed: NotRequired[int | None]


def request_to_json(request: Request) -> str:
    """The canonical JSON of a request: sorted keys, no spaces. The same request gives the same bytes everywhere."""
    tree: _RequestJSON = {
        "messages": [{"role": m["role"], "content": m["content"]} for m in request.messages],
        "temperature": float(request.temperature),
        "n": request.n,
        "max_tokens": request.max_tokens,
        "seed": request.seed,
    }
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def request_from_json(text: str) -> Request:
    """The inverse of `request_to_json`."""
    tree: _RequestJSON = json.loads(text)
    return Request(
        messages=tuple({"role": m["role"], "content": m["content"]} for m in tree["messages"]),
        temperature=tree["temperature"],
        n=tree["n"],
        max_tokens=tree["max_tokens"],
        seed=tree.get("seed"),
    )


def call_key(identity: str, request: Request, start: int = 0, count: int | None = None) -> str:
    """The cache key of the call that draws samples `start` to `start + count` of a request (default: all of them).

    blake2b over the model's identity (see `hydra_ray.llm.identity`) and the request's canonical JSON; `n` itself is
    left out, so that one sample is the same call whether one or eight are wanted.
    """
    count = request.n if count is None else count
    one = Request(request.messages, request.temperature, 1, request.max_tokens, request.seed)
    text = f"{identity}\0{request_to_json(one)}\0{start}\0{count}"
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=20).hexdigest()
