"""Ports of this machine."""

import errno
import secrets
import socket

from hydra_ray.errors import UserError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Hosts that only this machine reaches."""

_UNASKED_FOR = range(20_000, 32_768)


def free_port() -> int:
    """A port of loopback that no process listens on now, and that no process gets by chance before it is used: it lies
    between those of Ray's workers and those that the system hands out.

    Raises OSError if there is none.
    """
    while True:
        port = secrets.choice(_UNASKED_FOR)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
        return port


def check_free(host: str, port: int, setting: str) -> None:
    """Raises UserError, naming the `setting` to change, if nothing can listen there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(f"{setting}: {host}:{port}: {reason}: set another port") from None
