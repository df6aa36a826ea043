"""API keys: each belongs to a tenant, and is known here by its hash alone."""

import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hydra_ray import environment
from hydra_ray.errors import UserError

SHORTEST_KEY = 16
HASHED = "blake2b:"
"""Begins what stands in a key's place where only its hash is kept."""
_HASH_BYTES = 32
_TENANT = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True)
class Keys:
    """Who may come in. Pickles; holds no key.

    hashes: (hash of a key, its tenant). open_tenant: whose everybody is, where there are no keys.
    """

    hashes: tuple[tuple[bytes, str], ...] = field(default=(), repr=False)
    open_tenant: str | None = None

    @classmethod
    def open(cls, tenant: str) -> "Keys":
        """No keys: whoever reaches the port is `tenant`."""
        return cls(open_tenant=tenant)

    def tenant_of(self, authorization: str | None) -> str | None:
        """The tenant of an `Authorization` header (`Bearer KEY`); None: nobody's key.

        Every hash is compared, each in constant time, so the time taken tells nothing about the keys.
        """
        if self.open_tenant is not None:
            return self.open_tenant
        scheme, _, key = (authorization or "").strip().partition(" ")
        given = _hash(key.strip())
        found = None
        for known, tenant in self.hashes:
            if hmac.compare_digest(given, known):
                found = tenant
        return found if scheme.lower() == "bearer" else None


def load_keys(file: str | Path | None, open_tenant: str | None) -> Keys:
    """The keys of `file`, or of HYDRA_RAY_SERVE_KEYS if it is None; `open_tenant`: everybody's tenant, without keys.

    Raises UserError, never with a key in it, if the file is readable by others than its owner, if a line is wrong, or
    if there are no keys and no `open_tenant`, or both.
    """
    variable = environment.SERVE_KEYS.name
    value = environment.serve_keys().value
    where = str(file) if file is not None else f"environment variable {variable}"
    if open_tenant is not None:
        if file is not None or value:
            raise UserError(f"without_keys: there are keys ({where}): take out the one or the other")
        return Keys.open(_tenant(open_tenant, "tenant"))
    if file is None and not value:
        raise UserError(
            f"no API keys: name a file of tenant:key lines with `keys`, or set {variable}, or let everybody in with "
            "without_keys=true"
        )
    lines = _read(Path(file)).split("\n") if file is not None else value.split(",")
    keys = parse_keys(lines, where, "line" if file is not None else "entry")
    if not keys.hashes:
        raise UserError(f"{where}: holds no keys; write one tenant:key a line")
    return keys


def new_key(tenant: str) -> tuple[str, str]:
    """A new key, and the line that a file of keys holds in its place. Raises UserError for what is no tenant."""
    key = "hr-" + secrets.token_urlsafe(32)
    return key, f"{_tenant(tenant, 'TENANT')}:{HASHED}{_hash(key).hex()}"


def parse_keys(lines: Iterable[str], where: str, unit: str = "line") -> Keys:
    """The keys of `tenant:key` and `tenant:blake2b:hash` lines; blank ones and comments (`#`) are skipped.

    Raises UserError with the line's number if a tenant is not 1 to 64 of `A-Za-z0-9._-`, or a key is too short, no
    header text, no hash, or there twice.
    """
    hashes: dict[bytes, str] = {}
    numbers: dict[bytes, int] = {}
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        here = f"{where}, {unit} {number}"
        tenant, colon, key = (part.strip() for part in line.partition(":"))
        if not colon:
            raise UserError(f"{here}: is no tenant:key")
        _tenant(tenant, here)
        digest = _hash_kept(key, here) if key.startswith(HASHED) else _hash(_checked(key, here))
        if digest in hashes:
            raise UserError(f"{here}: the same key as in {unit} {numbers[digest]}; a key belongs to one tenant, once")
        hashes[digest], numbers[digest] = tenant, number
    return Keys(tuple(hashes.items()))


def _hash_kept(text: str, here: str) -> bytes:
    digits = text.removeprefix(HASHED)
    if re.fullmatch(f"[0-9a-f]{{{2 * _HASH_BYTES}}}", digits) is None:
        raise UserError(f"{here}: what follows {HASHED} is no hash; put there what `hydra-ray new-key` prints")
    return bytes.fromhex(digits)


def _checked(key: str, here: str) -> str:
    if len(key) < SHORTEST_KEY:
        raise UserError(f"{here}: the key has {len(key)} characters; give it at least {SHORTEST_KEY}")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UserError(f"{here}: the key holds blanks or odd characters; take letters and digits")
    return key


def _tenant(tenant: str, here: str) -> str:
    if _TENANT.fullmatch(tenant) is None:
        raise UserError(f"{here}: {tenant[:80]!r} is no tenant: 1 to 64 letters, digits, dots, dashes and underscores")
    return tenant


def _read(file: Path) -> str:
    try:
        with file.expanduser().open(encoding="utf-8") as opened:
            if _shared(os.fstat(opened.fileno())):
                raise UserError(f"{file}: others can read or change these keys; run: chmod 600 {file}")
            return opened.read()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; name a file of tenant:key lines") from None
    except UnicodeDecodeError:
        raise UserError(f"{file}: is no text; write one tenant:key a line") from None


def _shared(about: os.stat_result) -> bool:
    """Whether others can read or change the file. The group may read one that is root's: so Kubernetes mounts secrets
    for pods that do not run as root."""
    mounted = about.st_uid == 0 and os.geteuid() != 0
    others = stat.S_IRWXG | stat.S_IRWXO
    return bool(about.st_mode & (others & ~stat.S_IRGRP if mounted else others))


def _hash(key: str) -> bytes:
    """Keys are long random strings, so a fast hash is enough (unlike for passwords)."""
    return hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=_HASH_BYTES, person=b"hydra_ray.key").digest()
