"""`POST /v1/chat/completions` with the plain model: what goes to the LLM, which answers without personalisation."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from hydra_ray.serve.http.errors import PERSONALISED, PLAIN
from hydra_ray.serve.http.model_name import is_plain
from hydra_ray.serve.http.schemas.chat_request import AnyChatRequest, ChatRequest

FORWARDED = (
    "n",
    "temperature",
    "max_tokens",
    "max_completion_tokens",
    "seed",
    "response_format",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "functions",
    "function_call",
    "logprobs",
    "top_logprobs",
    "prediction",
    "modalities",
    "audio",
    "web_search_options",
)


class PlainMessage(BaseModel):
    """A message of any kind that the LLM takes."""

    model_config = ConfigDict(extra="allow")

    role: str


class PlainRequest(AnyChatRequest):
    """OpenAI's request to the plain model (`NAME:plain`). All of it but model, user and stream goes to the LLM."""

    messages: list[PlainMessage] = Field(min_length=1)
    response_format: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    functions: list[dict[str, Any]] | None = None
    function_call: str | dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    prediction: dict[str, Any] | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    web_search_options: dict[str, Any] | None = None

    def shown(self) -> list[dict[str, Any]]:
        """The messages as they came."""
        return [message.model_dump(exclude_unset=True) for message in self.messages]

    def parameters(self) -> dict[str, Any]:
        """The parameters for the LLM: those that were given."""
        given = {name: getattr(self, name) for name in FORWARDED}
        return {name: value for name, value in given.items() if value is not None} | self.sampling()


def _kind(tree: Any) -> str:
    model = tree.get("model") if isinstance(tree, dict) else getattr(tree, "model", None)
    return PLAIN if isinstance(model, str) and is_plain(model) else PERSONALISED


AnyRequest = Annotated[
    Annotated[ChatRequest, Tag(PERSONALISED)] | Annotated[PlainRequest, Tag(PLAIN)], Discriminator(_kind)
]
"""A request to either model, as its name says."""
