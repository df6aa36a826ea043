"""Lines of a file of keys: `tenant:key` or `tenant:blake2b:hash`, then options as `name=ci expires=2027-06-30`."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from hydra_ray.errors import UserError
from hydra_ray.serve.http.keys import HASH_BYTES, Key, Keys, digest_of, new_secret

SHORTEST_KEY = 16
HASHED = "blake2b:"
"""Begins what stands in a key's place where only its hash is kept."""
OPTIONS = ("name", "expires", "requests", "tokens")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DAYS = re.compile(r"([0-9]{1,5})d")
_WORDS = "1 to 64 letters, digits, dots, dashes and underscores"


def parse_keys(lines: Iterable[str], where: str, unit: str = "line") -> Keys:
    """The keys of these lines; blank ones and comments (`#`) are skipped.

    Raises UserError, never with a key in it, with the line's number: no tenant, a key that is too short, no header
    text, no hash, or there twice, an option that there is not or whose value is none.
    """
    keys: dict[bytes, Key] = {}
    numbers: dict[bytes, int] = {}
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        here = f"{where}, {unit} {number}"
        tenant, colon, rest = (part.strip() for part in line.partition(":"))
        if not colon:
            raise UserError(f"{here}: is no tenant:key")
        checked_tenant(tenant, here)
        secret, *options = rest.split() or [""]
        if options and "=" not in options[0]:
            raise UserError(f"{here}: the key holds blanks (options follow as {'=, '.join(OPTIONS)}=)")
        digest = _hash_kept(secret, here) if secret.startswith(HASHED) else digest_of(_checked(secret, here))
        if digest in keys:
            raise UserError(f"{here}: the same key as in {unit} {numbers[digest]}; a key belongs to one tenant, once")
        keys[digest], numbers[digest] = Key(tenant, digest, **_options(options, here)), number
    return Keys(tuple(keys.values()))


def new_key(
    tenant: str,
    *,
    name: str | None = None,
    expires: str | None = None,
    requests: int | None = None,
    tokens: int | None = None,
    now: datetime | None = None,
    here: str = "new-key",
) -> tuple[str, str]:
    """A new key, and the line that a file of keys holds in its place.

    Args:
        tenant: whose users it reaches.
        name: for people, in usage and log.
        expires: last day (`2027-06-30`, UTC), moment (`2027-06-30T12:00+02:00`), or days from now (`90d`).
        requests: at most so many a minute.
        tokens: of the LLM, at most so many a minute.
        now: when days are counted from.
        here: where a mistake is, for its message.

    Raises:
        UserError: for what is no tenant, name, moment or number.
    """
    key = new_secret()
    given: dict[str, Any] = {
        "name": name,
        "expires": expires and _absolute(expires, now or datetime.now(UTC), here),
        "requests": requests,
        "tokens": tokens,
    }
    options = [f"{option}={value}" for option, value in given.items() if value is not None]
    _options(options, here)
    return key, " ".join([f"{checked_tenant(tenant, 'TENANT')}:{HASHED}{digest_of(key).hex()}", *options])


def checked_tenant(tenant: str, here: str) -> str:
    """The tenant as it came. Raises UserError for what is none."""
    if _NAME.fullmatch(tenant) is None:
        raise UserError(f"{here}: {tenant[:80]!r} is no tenant: {_WORDS}")
    return tenant


def _options(words: Iterable[str], here: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in words:
        option, equals, value = word.partition("=")
        if not equals or option not in OPTIONS:
            raise UserError(f"{here}: {word[:80]!r} is no option of a key; there are {'=, '.join(OPTIONS)}=")
        if option in found:
            raise UserError(f"{here}: {option}= is given twice")
        if option == "name":
            if _NAME.fullmatch(value) is None:
                raise UserError(f"{here}: name={value[:80]!r}: must be {_WORDS}")
            found[option] = value
        elif option == "expires":
            found[option] = _moment(value, here)
        else:
            if not re.fullmatch("[0-9]{1,15}", value) or int(value) == 0:
                raise UserError(f"{here}: {option}={value[:80]!r}: must be a whole number a minute, at least 1")
            found[option] = int(value)
    return found


def _absolute(expires: str, now: datetime, here: str) -> str:
    days = _DAYS.fullmatch(expires)
    if days is None:
        return expires
    try:
        return (now + timedelta(days=int(days[1]))).astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")
    except OverflowError:
        raise UserError(f"{here}: expires={expires}: is too far away") from None


def _moment(text: str, here: str) -> float:
    """Seconds since 1970; a day alone counts to its end, and what names no zone is UTC."""
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            found = datetime.combine(date.fromisoformat(text), time(), UTC) + timedelta(days=1)
        else:
            found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise UserError(
            f"{here}: expires={text[:80]!r}: is no date; write 2027-06-30 (to its end, UTC) or 2027-06-30T12:00Z"
        ) from None


def _hash_kept(text: str, here: str) -> bytes:
    digits = text.removeprefix(HASHED)
    if re.fullmatch(f"[0-9a-f]{{{2 * HASH_BYTES}}}", digits) is None:
        raise UserError(f"{here}: what follows {HASHED} is no hash; put there what `hydra-ray new-key` prints")
    return bytes.fromhex(digits)


def _checked(key: str, here: str) -> str:
    if len(key) < SHORTEST_KEY:
        raise UserError(f"{here}: the key has {len(key)} characters; give it at least {SHORTEST_KEY}")
    if not key.isascii() or not key.isprintable():
        raise UserError(f"{here}: the key holds blanks or odd characters; take letters and digits")
    return key
