"""What `llm=` may be: a URL, a client, a function; each becomes the same protocol."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra_ray.config import LLMConfig
from hydra_ray.core.prompts import with_system_prompt
from hydra_ray.errors import UserError
from hydra_ray.inference.types import LLMProtocol, LLMResponse
from hydra_ray.llm.model_id import weights_source
from hydra_ray.llm.types import Request

LLMFunction = Callable[[list[dict[str, str]], int, float, int], list[str] | Awaitable[list[str]]]
"""`(messages, n, temperature, max_tokens) -> n texts`, plain or async."""

CONNECTIONS = 16
"""Requests to a URL at a time."""
WANTED = (
    "give the base URL of an OpenAI-compatible server, a client with chat.completions.create, or a function "
    "(messages, n, temperature, max_tokens) -> list[str]"
)


def as_llm(llm: object, config: LLMConfig) -> LLMProtocol:
    """The LLM to ask.

    Args:
        llm: What the caller gave; None: the run's own, by its URL, or loaded in this process where its weights lie in a
            folder here.
        config: The run's settings of its LLM: model name, system prompt, timeouts.

    Raises:
        UserError: If it is nothing that can be asked, or the run's own LLM is not to be had here.
    """
    if llm is None:
        return _own(config)
    if isinstance(llm, str):
        return _served(llm, config)
    if inspect.iscoroutinefunction(getattr(llm, "sample", None)):
        return llm  # type: ignore[return-value]
    create = getattr(getattr(getattr(llm, "chat", None), "completions", None), "create", None)
    if callable(create):
        return ClientLLM(create, config)
    if callable(llm):
        return FunctionLLM(llm, config)
    raise UserError(f"llm: a {type(llm).__name__} cannot be asked; {WANTED}")


def _own(config: LLMConfig) -> LLMProtocol:
    if config.base_url is not None:
        return _served(config.base_url, config)
    if config.in_process:
        from hydra_ray.api.local_seq2seq import LocalSeq2Seq

        return LocalSeq2Seq(config)
    folder = Path(weights_source(config.serve.source))
    if not folder.is_dir():
        raise UserError(f"llm: the run's LLM is {config.serve.source}, which vLLM serves for a run; {WANTED}")
    from hydra_ray.api.local_llm import LocalLLM

    return LocalLLM(folder, config)


def _served(url: str, config: LLMConfig) -> LLMProtocol:
    from hydra_ray.serve.clients.llm import LLMClientAdapter

    if not url.startswith(("http://", "https://")):
        raise UserError(f"llm: {url!r} is no URL; {WANTED}")
    return LLMClientAdapter(config, url, CONNECTIONS)


class FunctionLLM:
    """A function as LLM. A plain one runs in a thread, one call at a time; an async one is called as often as is
    asked."""

    def __init__(self, function: LLMFunction, config: LLMConfig) -> None:
        self._function, self._system = function, config.system_prompt
        self._is_async = _is_async(function)
        self._one_at_a_time = asyncio.Lock()

    async def sample(self, request: Request, *, deadline: float, more: Mapping[str, Any] | None = None) -> LLMResponse:
        """n texts of the function. Its own exceptions pass through. Raises UserError for anything but n texts."""
        del deadline, more
        given = [
            {"role": message["role"], "content": message["content"]}
            for message in with_system_prompt(request.messages, self._system)
        ]
        how = (given, request.n, request.temperature, request.max_tokens)
        if self._is_async:
            texts = await self._function(*how)  # type: ignore[misc]
        else:
            async with self._one_at_a_time:
                texts = await asyncio.to_thread(self._function, *how)
        return LLMResponse(_checked(texts, request.n))


def _checked(texts: object, n: int) -> tuple[str, ...]:
    """n texts. Raises UserError."""
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise UserError(f"llm: the function returned a {type(texts).__name__}; return a list of {n} texts")
    wrong = [type(text).__name__ for text in texts if not isinstance(text, str)]
    if wrong:
        raise UserError(f"llm: the function returned a {wrong[0]} among its texts; return a list of {n} texts")
    if len(texts) != n:
        raise UserError(f"llm: the function returned {len(texts)} texts where n={n} were asked for; return as many")
    return tuple(texts)


def _is_async(function: Callable[..., Any]) -> bool:
    """Whether a function, or an object that is called, gives something to await."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


class ClientLLM:
    """A client with `chat.completions.create`, as OpenAI's package has it, plain or async."""

    def __init__(self, create: Callable[..., Any], config: LLMConfig) -> None:
        self._create, self._config = create, config
        self._is_async = _is_async(create)

    async def sample(self, request: Request, *, deadline: float, more: Mapping[str, Any] | None = None) -> LLMResponse:
        """n texts of the client, in as many calls as it takes. The client's exceptions pass through. Raises UserError
        for an answer without any text."""
        del deadline
        n = request.n
        given = {
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
            "seed": request.seed,
            "top_p": self._config.top_p,
        }
        names: dict[str, str | None] = {name: name for name in given}
        names.update({str(name): other for name, other in self._config.parameters.items()})
        settings = {
            target: value
            for name, value in given.items()
            if value is not None and (target := names[name]) is not None  # None: the server does not take it
        }
        messages = [dict(message) for message in with_system_prompt(request.messages, self._config.system_prompt)]
        texts: list[str] = []
        cut: list[int] = []
        tokens = [0, 0]
        while len(texts) < n:
            choices, used = await self._call(messages=messages, n=n - len(texts), **settings, **(more or {}))
            if not choices:
                raise UserError("llm: the client's answer holds no choices; give one that speaks OpenAI's protocol")
            cut += [len(texts) + i for i, choice in enumerate(choices) if choice.finish_reason == "length"]
            texts += [choice.message.content or "" for choice in choices]
            tokens = [sum(pair) for pair in zip(tokens, used, strict=True)]
        return LLMResponse(tuple(texts[:n]), tokens[0], tokens[1], cut=frozenset(i for i in cut if i < n))

    async def _call(self, **request: Any) -> tuple[list[Any], tuple[int, int]]:
        """The choices of one call, and the tokens of prompt and answers."""
        request |= {"model": self._config.model}
        if self._config.extra_body:
            request |= {"extra_body": self._config.extra_body}
        answer = await self._create(**request) if self._is_async else await asyncio.to_thread(self._create, **request)
        usage = getattr(answer, "usage", None)
        used = (getattr(usage, "prompt_tokens", 0) or 0, getattr(usage, "completion_tokens", 0) or 0)
        return list(getattr(answer, "choices", None) or []), used
