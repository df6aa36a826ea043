"""What the client asks, a chat server (`http`) or a model in this process (`seq2seq`): one call at a time."""

from typing import NamedTuple, Protocol

from hydra_ray.llm.dialect import Dialect
from hydra_ray.llm.rate_headers import Rates
from hydra_ray.llm.response_parsing import Usage
from hydra_ray.llm.types import CachedResponse, Request


class Reply(NamedTuple):
    """An answered call. rates: its headers about rate limits."""

    record: CachedResponse
    rates: Rates | None = None


class Endpoint(Protocol):
    """Answers calls. Belongs to the event loop of its first call.

    Attributes:
        where: What messages call it.
        dialect: What this process knows of it.
    """

    where: str
    dialect: Dialect

    def most(self, request: Request, count: int) -> Usage:
        """The most tokens that a call for `count` samples can take."""
        ...

    async def chat(self, request: Request, start: int, count: int, timeout_s: float | None = None) -> Reply:
        """The samples `start` to `start + count` of a request, at most.

        timeout_s: instead of `llm.timeout_s`. Raises TransientError where another attempt may help, RejectedError
        (TooLongError) where it will never answer this request, UserError where every other one would fail alike.
        """
        ...

    async def models(self) -> list[str] | None:
        """The names of its models; None if it has no such list. Raises UserError if it refuses us, TransientError if it
        cannot be reached."""
        ...

    async def close(self) -> None:
        """Gives back what it holds."""
        ...
