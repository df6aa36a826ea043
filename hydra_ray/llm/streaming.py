"""A streamed answer of an OpenAI-compatible server: its chunks as they come, and the tokens that they cost."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiohttp

from hydra_ray.llm.response_parsing import Usage, error_in_answer, read_answer, read_usage
from hydra_ray.llm.retry import EmptyAnswerError, TransientError

Take = Callable[[dict[str, Any]], None]
"""Gets every chunk, parsed; or the whole answer of a server that does not stream."""

DONE = "[DONE]"


async def read_stream(response: aiohttp.ClientResponse, most: Usage, take: Take) -> Usage:
    """Passes an answer's chunks on.

    Args:
        response: a 200 whose body is still to be read.
        most: stands for prompt tokens that the server does not count.
        take: see `Take`.

    Returns:
        The tokens of the answer; what the server does not count took at most as many as it has bytes.

    Raises:
        ErrorInAnswerError: an error stands where an answer should.
        EmptyAnswerError, TransientError: there is no answer, or this is none.
    """
    if "event-stream" not in response.headers.get("Content-Type", ""):
        data = await response.read()
        record = read_answer(data, len(data), most)
        tree = json.loads(data)
        tree = tree[0] if isinstance(tree, list) else tree
        take(tree)
        written = sum(len(text.encode()) for text in record["texts"])
        return read_usage(tree.get("usage"), Usage(most.prompt_tokens, written))
    written, chunks, usage = 0, 0, None
    async for data_line in _data_lines(response):
        try:
            tree = json.loads(data_line)
        except (ValueError, RecursionError):
            tree = None
        if not isinstance(tree, dict):
            raise _unreadable()
        if tree.get("error"):
            raise error_in_answer(tree)
        choices = tree.get("choices") or []
        if not isinstance(choices, list) or not all(isinstance(choice, Mapping) for choice in choices):
            raise _unreadable()
        usage = tree.get("usage") or usage
        written += sum(_bytes(choice) for choice in choices)
        chunks += 1
        take(tree)
    if not chunks:
        raise EmptyAnswerError
    return read_usage(usage, Usage(most.prompt_tokens, written))


async def _data_lines(response: aiohttp.ClientResponse) -> AsyncIterator[str]:
    """What stands behind `data:`, line by line, up to the end that the server names."""
    rest = b""
    async for part in response.content.iter_any():
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace").strip()
            if text.startswith("data:"):
                data = text.removeprefix("data:").strip()
                if data == DONE:
                    return
                if data:
                    yield data


def _bytes(choice: Mapping[str, Any]) -> int:
    """Of all that a chunk adds to a choice."""
    delta = choice.get("delta")
    values = delta.values() if isinstance(delta, Mapping) else ()
    texts = (value if isinstance(value, str) else json.dumps(value) for value in values if value)
    return sum(len(text.encode(errors="replace")) for text in texts)


def _unreadable() -> TransientError:
    return TransientError("the answer is no stream of OpenAI's chunks", maybe_billed=True)
