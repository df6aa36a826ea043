"""`POST /v1/chat/completions`: what the personalised model takes. Every field that OpenAI knows is used, harmless, or
refused by name, with the reason."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from hydra_ray.core.prompts import Message
from hydra_ray.inference.types import PersonalizeRequest
from hydra_ray.serve.http.body import Body, Count, MaxTokens, Seed, Temperature
from hydra_ray.serve.http.errors import ApiError
from hydra_ray.serve.http.ids import UserId

UNSUPPORTED = "unsupported"


PLAIN_TAKES_IT = "leave it out, or ask the plain model, which is this model's name with `:plain` behind it"
CHOSEN = "the answer is chosen among samples and the user's own past answers"


def _only(why: str, *neutral: Any) -> tuple[AfterValidator, WithJsonSchema]:
    """A field that may be left as it is, or set to what changes nothing. why: nothing else is possible."""
    allowed = (None, *neutral)

    def check(value: Any) -> Any:
        if not any(type(value) is type(one) and value == one for one in allowed):
            raise PydanticCustomError(UNSUPPORTED, "not supported here: {why}; {instead}",
                                      {"why": why, "instead": PLAIN_TAKES_IT})  # fmt: skip
        return value

    return AfterValidator(check), WithJsonSchema({"enum": list(allowed)})


TEXT_ALONE = "only text is personalised"
NO_FORM = f"{CHOSEN}, which have no other form than the task's"
NO_CALLS = f"{CHOSEN}, and a call is neither"
NO_LOGPROBS = f"{CHOSEN}, so it need not be a sample, and the choice is not the model's own"

OnlyText = Annotated[Any, *_only(TEXT_ALONE)]
NoCall = Annotated[Any, *_only(NO_CALLS)]
NoCalls = Annotated[Any, *_only(NO_CALLS, [])]
Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
MOST_STOPS = 16


def _stops(value: Any) -> Any:
    texts = value if isinstance(value, list) else [value]
    if len(texts) > MOST_STOPS or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"takes a text, or a list of {MOST_STOPS} texts at most")
    return value


Stop = Annotated[
    Any,
    AfterValidator(_stops),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


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
    tool_calls: NoCalls = None
    function_call: NoCall = None
    audio: OnlyText = None


class StreamOptions(BaseModel):
    """include_usage: a last chunk with the token counts."""

    model_config = ConfigDict(strict=True)

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class AnyChatRequest(Body):
    """What the plain and the personalised model take alike."""

    model: str
    user: UserId | None = None
    safety_identifier: str | None = None
    n: Count | None = None
    temperature: Temperature | None = None
    max_tokens: MaxTokens | None = None
    max_completion_tokens: MaxTokens | None = None
    seed: Seed | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    # They change how samples are drawn, and go to the LLM as they are.
    stop: Stop | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: dict[str, float] | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None

    # Harmless: they cannot change what is answered.
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    parallel_tool_calls: bool | None = None

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with the token counts."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def sampling(self) -> dict[str, Any]:
        """The parameters that go to the LLM as they are; those that change nothing are left out."""
        given = {name: getattr(self, name) for name in SAMPLING}
        neutral = {"top_p": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0}
        return {name: value for name, value in given.items() if value not in (None, [], {}, neutral.get(name))}


SAMPLING = (
    "stop",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "reasoning_effort",
    "verbosity",
)


class ChatRequest(AnyChatRequest):
    """OpenAI's request to the personalised model. The last user message is the question; `user` says whose history and
    heads are used."""

    messages: list[ChatMessage] = Field(min_length=1)
    prediction: dict[str, Any] | None = None

    # They would change the answer's meaning: only what changes nothing is taken.
    audio: OnlyText = None
    modalities: Annotated[Any, *_only(TEXT_ALONE, ["text"])] = None
    response_format: Annotated[Any, *_only(NO_FORM, {"type": "text"})] = None
    tools: NoCalls = None
    tool_choice: Annotated[Any, *_only(NO_CALLS, "none", "auto")] = None
    functions: NoCalls = None
    function_call: Annotated[Any, *_only(NO_CALLS, "none", "auto")] = None
    logprobs: Annotated[Any, *_only(NO_LOGPROBS, False)] = None
    top_logprobs: Annotated[Any, *_only(NO_LOGPROBS, 0)] = None
    moderation: OnlyText = None
    web_search_options: OnlyText = None

    def ask(self) -> PersonalizeRequest:
        """The question and how to sample. Raises ApiError (400) if no user message holds one."""
        query, before = question(self.messages)
        return PersonalizeRequest(
            query=query,
            before=before,
            n=self.n or 1,
            temperature=self.temperature,
            max_tokens=self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens,
            seed=self.seed,
            more=self.sampling(),
        )


def question(messages: Sequence[ChatMessage]) -> tuple[str, tuple[Message, ...]]:
    """The last user message, and all others in their order; `developer` is today's word for `system`.

    Raises ApiError (400) if there is none, if it is blank, or if an answer already follows it.
    """
    users = [index for index, message in enumerate(messages) if message.role == "user"]
    if not users or not messages[users[-1]].content.strip():
        raise ApiError(400, "messages: the last user message is the question; there is none", param="messages")
    if any(message.role == "assistant" for message in messages[users[-1] :]):
        raise ApiError(400, "messages: an answer already follows the last user message", param="messages")
    others = [message for index, message in enumerate(messages) if index != users[-1]]
    before = tuple(
        Message(role="system" if message.role == "developer" else message.role, content=message.content)
        for message in others
    )
    return messages[users[-1]].content, before
