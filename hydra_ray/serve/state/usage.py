"""What the service needs of a store of usage: requests and tokens by key and day, shared by all gateways.

Gateways add what they counted every few seconds and read what all have counted in the current minute, so that a key's
limits hold across them (within those seconds).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from hydra_ray.errors import UserError

KEPT_DAYS = 400
KEPT_MINUTES = 5


class UsageUnavailableError(UserError):
    """The store of usage cannot be read or written now."""


@dataclass(frozen=True)
class Used:
    """requests: that were let in. refused: over the key's limits. tokens: of the LLM, prompts and answers."""

    requests: int = 0
    refused: int = 0
    tokens: int = 0

    def __add__(self, more: "Used") -> "Used":
        return Used(self.requests + more.requests, self.refused + more.refused, self.tokens + more.tokens)

    def __sub__(self, less: "Used") -> "Used":
        return Used(self.requests - less.requests, self.refused - less.refused, self.tokens - less.tokens)


@dataclass(frozen=True)
class Slot:
    """Whose use, and when. day: `2027-06-30`, UTC. minute: since 1970."""

    tenant: str
    key: str
    name: str
    day: str
    minute: int


class UsageStore(Protocol):
    """For many threads and processes. Every method raises UsageUnavailableError."""

    def add(self, counted: Mapping[Slot, Used], minute: int) -> dict[str, Used]:
        """Adds what was counted; returns what all gateways have counted in `minute`, by key."""
        ...

    def days(self, tenant: str, since: str) -> list[tuple[Slot, Used]]:
        """The tenant's use from the day `since` on, by day and key."""
        ...

    def all_days(self) -> list[tuple[Slot, Used]]:
        """Every tenant's use, by day and key."""
        ...

    def put_days(self, days: list[tuple[Slot, Used]]) -> None:
        """Writes days as they are elsewhere, in place of those there."""
        ...
