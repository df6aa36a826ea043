"""What the bodies of requests have in common: their form, and the numbers of sampling, within OpenAI's bounds."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=1, le=128, description="answers wanted")]
Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
MaxTokens = Annotated[int, Field(ge=1, le=2**31 - 1, description="of one answer")]
Seed = Annotated[int, Field(ge=-(2**62), le=2**62, description="64 bits hold the seeds of further samples too")]


class Body(BaseModel):
    """A request's body: no unknown fields, no conversions, and every text one that can be written down.

    JSON can name half of a surrogate pair (`"\\ud800"`): no character, in no encoding.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _writable(cls, tree: Any) -> Any:
        rest = [tree]  # a stack of our own: bodies may be nested deeper than Python calls
        while rest:
            part = rest.pop()
            if isinstance(part, dict):
                rest += part.keys()
                rest += part.values()
            elif isinstance(part, list):
                rest += part
            elif isinstance(part, str) and not part.isascii():
                try:
                    part.encode()
                except UnicodeEncodeError:
                    raise ValueError("a text holds half of a surrogate pair, which is no character") from None
        return tree
