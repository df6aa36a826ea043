"""What is asked and what comes back, and the key under which a call's answer is kept."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict

from hydra_ray.core.prompts import Message

Finish = Literal["stop", "length", "content_filter", "thinking", "empty"]
"""How a text ended: `length`: at `max_tokens`; `content_filter`: withheld or cut off by the provider's filter;
`thinking`: nothing but a reasoning model's thoughts came; `empty`: nothing came at all."""


class CachedResponse(TypedDict):
    """What one call returned, as the cache keeps it. `texts` may be fewer than were asked for.

    finish: one per text; left out where all are `stop`. degraded: the answer to a shortened prompt (left out: it is
    not). cut: in entries older than `finish`, the places of the texts that `max_tokens` ended.
    """

    texts: list[str]
    prompt_tokens: int
    completion_tokens: int
    finish: NotRequired[list[Finish]]
    degraded: NotRequired[bool]
    cut: NotRequired[list[int]]


def finishes(record: CachedResponse) -> tuple[Finish, ...]:
    """How each text of a record ended; of older entries only `length` is known, all else counts as `stop`."""
    kept = record.get("finish")
    if kept is not None:
        return tuple(kept)
    cut = set(record.get("cut", ()))
    return tuple("length" if i in cut else "stop" for i in range(len(record["texts"])))


@dataclass(frozen=True, slots=True)
class Request:
    """A chat prompt and how to sample from it.

    n: answers wanted. max_tokens: longest answer, in tokens. seed: None leaves the draw to the server.
    lora: name of the LoRA adapter to answer with (see `hydra_ray.llm.lora`); None: the model alone.
    fallbacks: shorter versions of the prompt, tried in turn where the server answers that it is too long; they may be
    made only when they are read. They are no part of the cache key: the answer is kept under the prompt that was asked
    first.
    """

    messages: tuple[Message, ...]
    temperature: float = 0.0
    n: int = 1
    max_tokens: int = 16
    seed: int | None = None
    fallbacks: Sequence[tuple[Message, ...]] = ()
    lora: str | None = None

    def __post_init__(self) -> None:
        if self.n < 1 or self.max_tokens < 1 or not self.messages:
            raise ValueError(f"a request needs messages, n >= 1 and max_tokens >= 1: {self}")


@dataclass(frozen=True, slots=True)
class Completion:
    """The texts for one request.

    texts: `n` of them, in sampling order; fewer if `error` is set. prompt_tokens, completion_tokens: as the server
    counted them when the answer was paid for. cached: nothing was paid this time. error: why texts are missing, one
    line, None if none are. permanent: the error will never pass (the server refuses this prompt); an error that is not
    may be gone when the request is made again. finish: how each text ended. degraded: a text answers one of the
    request's `fallbacks`, since the prompt was too long for the server.
    """

    texts: tuple[str, ...]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached: bool = False
    error: str | None = None
    permanent: bool = False
    finish: tuple[Finish, ...] = ()
    degraded: bool = False


def canonical_json(request: Request) -> str:
    """The canonical JSON of one sample of a request: sorted keys, no spaces, the same bytes everywhere.

    Halves of characters, which no file can hold, become U+FFFD.
    """
    tree = {
        "messages": [{"role": m["role"], "content": m["content"]} for m in request.messages],
        "temperature": float(request.temperature),
        "n": 1,
        "max_tokens": request.max_tokens,
        "seed": request.seed,
        **({"lora": request.lora} if request.lora else {}),
    }
    return without_surrogates(json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False))


def call_key(identity: str, request: Request, start: int = 0, count: int | None = None) -> str:
    """The cache key of the call that draws samples `start` to `start + count` of a request (default: all of them).

    blake2b over the model's identity (see `hydra_ray.llm.model_id`) and the request's canonical JSON; `n` itself is
    left out, so that one sample is the same call whether one or eight are wanted; so are `fallbacks`.
    """
    count = request.n if count is None else count
    text = f"{identity}\0{canonical_json(request)}\0{start}\0{count}"
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=20).hexdigest()


def without_surrogates(text: str) -> str:
    """The text with each half of a character (a lone surrogate, which no encoding takes) as U+FFFD.

    Two halves that belong together become their character.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
