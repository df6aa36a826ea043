"""Starting or joining Ray so that a machine of its own stays its own: ports on loopback, a token for every call."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra_ray.environment import (
    RAY_AUTH_MODE,
    RAY_AUTH_TOKEN,
    RAY_AUTH_TOKEN_PATH,
    read,
    set_local_ray,
    set_token_mode,
)
from hydra_ray.errors import UserError
from hydra_ray.tracebacks import telling_line

TOKEN = Path(".ray") / "auth_token"
"""Where Ray keeps its token, below the home directory."""


def init_ray(options: Mapping[str, Any]) -> None:
    """`ray.init`; without an `address`, or with `local`, on this machine alone, whose ports nothing else reaches.

    Token authentication is on unless RAY_AUTH_MODE says otherwise. Raises UserError where Ray has no token that fits,
    cannot write one, or does not answer.
    """
    local = options.get("address", "local") == "local"
    if local:
        set_local_ray()
    import ray
    from ray.exceptions import AuthenticationError

    try:
        ray.init(**options)
    except AuthenticationError as error:
        raise UserError(f"Ray: {_first(error)}; {TOKEN_ADVICE}") from None
    except ConnectionError as error:
        raise UserError(f"Ray: {telling_line(str(error))}; correct the address, or start that cluster") from None
    except PermissionError as error:
        raise UserError(f"Ray: {error.filename or Path.home() / TOKEN}: {error.strerror}; make it writable, or set "
                        f"{RAY_AUTH_TOKEN_PATH.name} to a file with a token of your own") from None  # fmt: skip
    _close_token()


TOKEN_ADVICE = (
    f"set {RAY_AUTH_MODE.name}=token and {RAY_AUTH_TOKEN.name}, or {RAY_AUTH_TOKEN_PATH.name}, to the cluster's token"
)


def token_of_calls() -> str:
    """Makes calls to a cluster's dashboard carry Ray's token where there is one; which, in words.

    Ray's client sends it only where RAY_AUTH_MODE says so. Call this before Ray is imported.
    """
    mode = read(RAY_AUTH_MODE)
    found = _token()
    if mode and mode != "token":
        return f"without a token ({RAY_AUTH_MODE.name}={mode})"
    if found is None:
        return "without a token, as there is none on this machine"
    set_token_mode()
    return f"with Ray's token ({found})"


def token_required() -> bool:
    """Whether a Ray that is started here asks for a token: Ray's own default."""
    return read(RAY_AUTH_MODE).lower() in ("", "token")


def _token() -> str | None:
    """Where Ray would find its token; None: nowhere."""
    if read(RAY_AUTH_TOKEN):
        return RAY_AUTH_TOKEN.name
    if path := read(RAY_AUTH_TOKEN_PATH):
        return f"{RAY_AUTH_TOKEN_PATH.name}={path}"
    with contextlib.suppress(OSError, RuntimeError):
        file = Path.home() / TOKEN
        if file.is_file():
            return str(file)
    return None


def _close_token() -> None:
    """Ray writes its token readable by every account of the machine, each of which could then run code as this one."""
    with contextlib.suppress(OSError, RuntimeError):
        file = Path.home() / TOKEN
        about = file.stat()
        if about.st_uid == os.geteuid() and about.st_mode & 0o077:
            file.chmod(0o600)


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
