"""`POST /v1/chat/completions`: what it answers, whole or streamed."""

import time
import uuid
from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel

from hydra_ray.inference.trace import Degraded, PersonalizedAnswer, Trace, TraceVersions

FinishReason = Literal["stop", "length"]
"""length: `max_tokens` ended it."""


class ChatUsage(BaseModel):
    """Tokens as the LLM's server counted them, over all samples that were drawn to choose from."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Hydra(BaseModel):
    """Ours, besides OpenAI's fields: what was not done as it should have been, and which run and heads answered."""

    degraded: list[Degraded]
    versions: TraceVersions


class AnswerMessage(BaseModel):
    """An answer."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: str | None = None


class Choice(BaseModel):
    """One of the answers, best first."""

    index: int
    message: AnswerMessage
    finish_reason: FinishReason
    logprobs: None = None


class ChatCompletion(BaseModel):
    """OpenAI's answer, and `hydra`."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: ChatUsage
    hydra: Hydra


class Delta(BaseModel):
    """What a chunk adds to a choice."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(BaseModel):
    """A chunk's part of one choice."""

    index: int
    delta: Delta
    finish_reason: FinishReason | None = None
    logprobs: None = None


class Chunk(BaseModel):
    """A part of a streamed answer; `hydra` comes with the first, `usage` with a last one if asked for."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: ChatUsage | None = None
    hydra: Hydra | None = None


def completion(made: PersonalizedAnswer, model: str) -> ChatCompletion:
    """The answer as a whole."""
    return ChatCompletion(
        id=_new_id(),
        created=int(time.time()),
        model=model,
        choices=[
            Choice(index=i, message=AnswerMessage(content=text), finish_reason=_finish_reason(made, i))
            for i, text in enumerate(made.answers)
        ],
        usage=usage(made.trace),
        hydra=_hydra(made.trace),
    )


def events(made: PersonalizedAnswer, model: str, include_usage: bool) -> Iterator[str]:
    """The answer as server-sent events: per choice its role, its text and its end; then `[DONE]`.

    An answer is chosen among whole ones, so its text comes in one piece.
    """
    identity, created = _new_id(), int(time.time())

    def event(choices: list[ChunkChoice], usage: ChatUsage | None = None, hydra: Hydra | None = None) -> str:
        chunk = Chunk(id=identity, created=created, model=model, choices=choices, usage=usage, hydra=hydra)
        return f"data: {chunk.model_dump_json()}\n\n"

    for index, text in enumerate(made.answers):
        begin = ChunkChoice(index=index, delta=Delta(role="assistant", content=""))
        yield event([begin], hydra=None if index else _hydra(made.trace))
        yield event([ChunkChoice(index=index, delta=Delta(content=text))])
        yield event([ChunkChoice(index=index, delta=Delta(), finish_reason=_finish_reason(made, index))])
    if include_usage:
        yield event([], usage=usage(made.trace))
    yield "data: [DONE]\n\n"


def usage(trace: Trace) -> ChatUsage:
    """What the answer took: the trace's `llm_tokens` are those of all samples, without the prompt."""
    prompt, sampled = trace.prompt.tokens, trace.llm_tokens
    return ChatUsage(prompt_tokens=prompt, completion_tokens=sampled, total_tokens=prompt + sampled)


def _finish_reason(made: PersonalizedAnswer, index: int) -> FinishReason:
    return "length" if index in made.cut else "stop"


def _hydra(trace: Trace) -> Hydra:
    return Hydra(degraded=trace.degraded, versions=trace.versions)


def _new_id() -> str:
    return f"chatcmpl-{uuid.uuid4().hex}"
