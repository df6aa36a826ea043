"""What a server wants to know before it answers: the key, further headers, further query items. Never shown."""

import re
from collections.abc import Mapping
from urllib.parse import quote, quote_plus

from hydra_ray.config import LLMConfig
from hydra_ray.env import Secret, api_key, user_variable
from hydra_ray.errors import UserError

_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


class Credentials(Secret):
    """A key with headers and query items whose `$VARIABLE`s are filled in; pickles, but is never printed.

    secrets: every text that must stand in no message, also as it stands in a URL.
    """

    def __init__(
        self, key: str, headers: Mapping[str, str], query: Mapping[str, str], secrets: tuple[str, ...] = ()
    ) -> None:
        super().__init__(key)
        self.headers, self.query = dict(headers), dict(query)
        forms = {form for s in (key, *secrets) if s for form in (s, quote(s), quote(s, safe=""), quote_plus(s))}
        self.secrets = tuple(sorted(forms, key=len, reverse=True))


def credentials(cfg: LLMConfig, key: Secret | None = None) -> Credentials:
    """What this process's environment holds for `llm.api_key_env`, `llm.headers` and `llm.query`.

    key: instead of the one in the environment. Raises UserError, without any value, for a variable that is unset or
    holds what no HTTP header can.
    """
    if isinstance(key, Credentials):
        return key
    own = key or api_key(cfg.api_key_env)
    secrets: list[str] = []
    headers = {name: _filled(value, f"llm.headers.{name}", secrets) for name, value in cfg.headers.items()}
    query = {name: _filled(value, f"llm.query.{name}", secrets) for name, value in cfg.query.items()}
    return Credentials(own.value, headers, query, tuple(secrets))


def _filled(value: str, where: str, secrets: list[str]) -> str:
    """The value with its variables filled in; what they hold is added to `secrets`."""

    def fill(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        held = user_variable(name)
        if not held:
            raise UserError(f"{where}: environment variable {name} is not set: export it")
        if not held.isascii() or not held.isprintable():
            raise UserError(f"{where}: environment variable {name} holds odd characters: it cannot be sent")
        secrets.append(held)
        return held

    return _VARIABLE.sub(fill, value)
