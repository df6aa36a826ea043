"""Ray's token, which every call to a cluster must carry where token authentication is on, as it is by default."""

import contextlib
import os
from pathlib import Path

from hydra_ray.env import RAY_AUTH_MODE, RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, read, set_token_mode

FILE = Path(".ray") / "auth_token"
"""Where Ray keeps its token, below the home directory."""
ADVICE = (
    f"set {RAY_AUTH_MODE.name}=token and {RAY_AUTH_TOKEN.name}, or {RAY_AUTH_TOKEN_PATH.name}, to the cluster's token"
)


def required() -> bool:
    """Whether a Ray that is started here asks for a token: Ray's own default."""
    return read(RAY_AUTH_MODE).lower() in ("", "token")


def send() -> str:
    """Makes this process's calls to a cluster carry the token where there is one; which, in words.

    Ray's client sends it only where RAY_AUTH_MODE says so. To be called before Ray is imported.
    """
    mode, found = read(RAY_AUTH_MODE), _found()
    if mode and mode.lower() != "token":
        return f"without a token ({RAY_AUTH_MODE.name}={mode})"
    if found is None:
        return "without a token, as this machine has none"
    set_token_mode()
    return f"with Ray's token ({found})"


def close() -> None:
    """Ray writes its token readable by every account of the machine, each of which could then run code as this one."""
    with contextlib.suppress(OSError, RuntimeError):
        file = Path.home() / FILE
        about = file.stat()
        if about.st_uid == os.geteuid() and about.st_mode & 0o077:
            file.chmod(0o600)


def _found() -> str | None:
    """Where Ray would find its token; None: nowhere."""
    if read(RAY_AUTH_TOKEN):
        return RAY_AUTH_TOKEN.name
    if path := read(RAY_AUTH_TOKEN_PATH):
        return f"{RAY_AUTH_TOKEN_PATH.name}={path}"
    with contextlib.suppress(OSError, RuntimeError):
        file = Path.home() / FILE
        if file.is_file():
            return str(file)
    return None
