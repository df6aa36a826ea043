"""API keys: each belongs to a tenant, is known here by its hash alone, and may have a name, an end and limits."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from hydra_ray.errors import UserError

HASH_BYTES = 32
_ID_DIGITS = 12


@dataclass(frozen=True)
class Key:
    """What is known of a key.

    digest: its hash. name: for people, in usage and log. expires: end of its validity, in seconds since 1970 (None:
    never). requests, tokens: at most so many a minute (None: no limit).
    """

    tenant: str
    digest: bytes = field(default=b"", repr=False)
    name: str = ""
    expires: float | None = None
    requests: int | None = None
    tokens: int | None = None

    @property
    def id(self) -> str:
        """Tells keys apart without giving one away; the same after a change of name or limits."""
        return self.digest.hex()[:_ID_DIGITS]

    def expired(self, now: float) -> bool:
        """Whether its time is over."""
        return self.expires is not None and now >= self.expires


@dataclass(frozen=True)
class Keys:
    """Who may come in. Pickles; holds no key. open_tenant: the tenant of all callers, where there are no keys."""

    keys: tuple[Key, ...] = field(default=(), repr=False)
    open_tenant: str | None = None

    @classmethod
    def open(cls, tenant: str) -> "Keys":
        """No keys: anyone who reaches the port is `tenant`."""
        return cls(open_tenant=tenant)

    def find(self, authorization: str | None) -> Key | None:
        """The key in an `Authorization` header (`Bearer KEY`), expired or not; None: not a key of ours.

        Every hash is compared, each in constant time, so the time taken tells nothing about the keys.
        """
        if self.open_tenant is not None:
            return Key(self.open_tenant)
        scheme, _, key = (authorization or "").strip().partition(" ")
        given = digest_of(key.strip())
        found = None
        for known in self.keys:
            if hmac.compare_digest(given, known.digest):
                found = known
        return found if scheme.lower() == "bearer" else None


class KeysUnavailableError(UserError):
    """It cannot be checked now whether a key is valid."""


class KeySource(Protocol):
    """The keys that count now."""

    def find(self, authorization: str | None) -> Key | None:
        """As `Keys.find`. Raises KeysUnavailableError where the key may be one that could not be read."""
        ...


def new_secret() -> str:
    """A new key."""
    return "hr-" + secrets.token_urlsafe(32)


def digest_of(key: str) -> bytes:
    """Keys are long random strings, so a fast hash is enough (unlike for passwords)."""
    return hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=HASH_BYTES, person=b"hydra_ray.key").digest()


def expiring(keys: Sequence[Key], within_s: float, now: float | None = None) -> list[str]:
    """A line for each key whose time is over or will be within so many seconds."""
    now = time.time() if now is None else now
    return [
        f"key {key.name or key.id} of {key.tenant}: {'expired' if key.expired(now) else 'expires'} "
        f"{datetime.fromtimestamp(key.expires, UTC):%Y-%m-%d %H:%M} UTC"
        for key in keys
        if key.expires is not None and key.expires <= now + within_s
    ]
