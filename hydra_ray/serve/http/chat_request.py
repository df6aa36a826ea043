"""`POST /v1/chat/completions`: what it takes. Every field that OpenAI knows is used, harmless, or refused by name."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from hydra_ray.core.prompts import Message
from hydra_ray.serve.http.body import Body
from hydra_ray.serve.http.errors import ProblemError
from hydra_ray.serve.http.ids import UserId
from hydra_ray.serve.http.sampling import Count, MaxTokens, Seed, Temperature
from hydra_ray.serve.types import Ask

UNSUPPORTED = "unsupported"


def _only(*neutral: Any) -> tuple[AfterValidator, WithJsonSchema]:
    """A field that may be left as it is, or set to what changes nothing."""
    allowed = (None, *neutral)

    def check(value: Any) -> Any:
        if not any(type(value) is type(one) and value == one for one in allowed):
            raise PydanticCustomError(UNSUPPORTED, "not supported here; leave it out")
        return value

    return AfterValidator(check), WithJsonSchema({"enum": list(allowed)})


Unsupported = Annotated[Any, *_only()]
UnsupportedList = Annotated[Any, *_only([])]


class TextPart(BaseModel):
    """A part of a message's content."""

    model_config = ConfigDict(strict=True)

    type: Literal["text"]
    text: str


def _joined(content: Any) -> Any:
    """Text parts as one text, a line each."""
    if content is None:
        return ""
    if not isinstance(content, list):
        return content
    for part in content:
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise PydanticCustomError(UNSUPPORTED, "takes text, or a list of parts of type `text` with a `text` each")
    return "\n".join(part["text"] for part in content)


class ChatMessage(BaseModel):
    """A message. Clients send assistants' messages back with fields of all kinds: what holds no text is ignored."""

    model_config = ConfigDict(strict=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, BeforeValidator(_joined, json_schema_input_type=str | list[TextPart] | None)] = ""
    name: str | None = None
    tool_calls: UnsupportedList = None
    function_call: Unsupported = None
    audio: Unsupported = None


class StreamOptions(BaseModel):
    """include_usage: a last chunk with the token counts."""

    model_config = ConfigDict(strict=True)

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatRequest(Body):
    """OpenAI's request. The last user message is the question; `user` says whose history and heads are used."""

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    user: UserId | None = None
    n: Count | None = None
    temperature: Temperature | None = None
    max_tokens: MaxTokens | None = None
    max_completion_tokens: MaxTokens | None = None
    seed: Seed | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    # Harmless: they cannot change what is answered.
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    prediction: dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None

    # They would change the answer's meaning: only what changes nothing is taken.
    audio: Unsupported = None
    modalities: Annotated[Any, *_only(["text"])] = None
    response_format: Annotated[Any, *_only({"type": "text"})] = None
    tools: UnsupportedList = None
    tool_choice: Annotated[Any, *_only("none", "auto")] = None
    functions: UnsupportedList = None
    function_call: Annotated[Any, *_only("none", "auto")] = None
    logprobs: Annotated[Any, *_only(False)] = None
    top_logprobs: Annotated[Any, *_only(0)] = None
    logit_bias: Annotated[Any, *_only({})] = None
    stop: UnsupportedList = None
    top_p: Annotated[Any, *_only(1, 1.0)] = None
    frequency_penalty: Annotated[Any, *_only(0, 0.0)] = None
    presence_penalty: Annotated[Any, *_only(0, 0.0)] = None
    reasoning_effort: Unsupported = None
    verbosity: Annotated[Any, *_only("medium")] = None
    moderation: Unsupported = None
    web_search_options: Unsupported = None

    def ask(self) -> Ask:
        """The question and how to sample. Raises ProblemError (400) if no user message holds one."""
        query, before = question(self.messages)
        return Ask(
            query=query,
            before=before,
            n=self.n or 1,
            temperature=self.temperature,
            max_tokens=self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens,
            seed=self.seed,
        )


def question(messages: Sequence[ChatMessage]) -> tuple[str, tuple[Message, ...]]:
    """The last user message, and all others in their order; `developer` is today's word for `system`.

    Raises ProblemError (400) if there is none, if it is blank, or if an answer already follows it.
    """
    users = [index for index, message in enumerate(messages) if message.role == "user"]
    if not users or not messages[users[-1]].content.strip():
        raise ProblemError(400, "messages: the last user message is the question; there is none", param="messages")
    if any(message.role == "assistant" for message in messages[users[-1] :]):
        raise ProblemError(400, "messages: an answer already follows the last user message", param="messages")
    others = [message for index, message in enumerate(messages) if index != users[-1]]
    before = tuple(
        Message(role="system" if message.role == "developer" else message.role, content=message.content)
        for message in others
    )
    return messages[users[-1]].content, before
