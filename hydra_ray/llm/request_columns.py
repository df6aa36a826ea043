"""Requests as an Arrow column: a list of structs for each row, and back."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from hydra_ray.core.prompts import Message
from hydra_ray.llm.types import Request, without_surrogates

MESSAGES_TYPE = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
REQUESTS_TYPE = pa.list_(
    pa.struct(
        [
            ("messages", MESSAGES_TYPE),
            ("temperature", pa.float64()),
            ("n", pa.int32()),
            ("max_tokens", pa.int32()),
            ("seed", pa.int64()),
            ("fallbacks", pa.list_(MESSAGES_TYPE)),
            ("lora", pa.string()),
        ]
    )
)
"""The requests of one row. `seed` is null where the server draws, `lora` where the model answers alone."""


def requests_to_structs(requests: Sequence[Request]) -> list[dict[str, Any]]:
    """One row's value of a column of REQUESTS_TYPE. Halves of characters, which Arrow cannot hold, become U+FFFD, as
    they do in the cache's key."""
    return [
        {
            "messages": _clean(request.messages),
            "temperature": float(request.temperature),
            "n": request.n,
            "max_tokens": request.max_tokens,
            "seed": request.seed,
            "fallbacks": [_clean(shorter) for shorter in request.fallbacks],
            "lora": request.lora,
        }
        for request in requests
    ]


def requests_from_structs(structs: Sequence[Mapping[str, Any]]) -> list[Request]:
    """The inverse of `requests_to_structs`."""
    return [
        Request(
            messages=_messages(struct["messages"]),
            temperature=struct["temperature"],
            n=struct["n"],
            max_tokens=struct["max_tokens"],
            seed=struct["seed"],
            fallbacks=tuple(map(_messages, struct["fallbacks"])),
            lora=struct["lora"],
        )
        for struct in structs
    ]


def _clean(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message["role"], "content": without_surrogates(message["content"])} for message in messages]


def _messages(structs: Sequence[Mapping[str, str]]) -> tuple[Message, ...]:
    return tuple({"role": struct["role"], "content": struct["content"]} for struct in structs)
