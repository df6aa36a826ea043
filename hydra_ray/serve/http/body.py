"""What the bodies of all requests have in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


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
