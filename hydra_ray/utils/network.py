"""Ports and loopback addresses of this machine, and HTTP that bypasses proxies."""

import errno
import ipaddress
import logging
import secrets
import socket
import urllib.request
from typing import Any

from hydra_ray.errors import UserError

logger = logging.getLogger(__name__)

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens URLs as `urllib.request.urlopen` does, but past any proxy that the environment names."""
EVERYWHERE = "[::]"
_FREE_RANGE = range(20_000, 32_768)
"""Between the ports of Ray's workers and those that the system hands out."""


def is_loopback(name: str) -> bool:
    """Whether a host's name is this machine's alone: `localhost`, names below it, 127.0.0.0/8 and ::1."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def stay_on_node() -> None:
    """Called by a replica before it is ready: where its node's address is loopback, so is what it listens on.

    Ray binds all its ports to the node's address, but for the one by which Serve's replicas call each other: Serve 2.60
    opens that on every interface and has no setting for it.
    """
    import ray
    from ray.serve._private import replica

    bind = getattr(replica, "add_port_to_grpc_server", None)
    if bind is None:
        logger.warning("this Ray Serve opens its replicas' ports otherwise; they may be open to other machines")
        return
    node = ray.util.get_node_ip_address()
    if not is_loopback(node) or getattr(bind, "stays", False):
        return

    def on_node(server: Any, address: str) -> Any:
        return bind(server, address.replace(EVERYWHERE, f"[{node}]" if ":" in node else node))

    on_node.stays = True  # type: ignore[attr-defined]
    replica.add_port_to_grpc_server = on_node


def free_port() -> int:
    """A port of loopback that no process listens on now, and that no process gets by chance before it is used.

    Raises OSError if there is none.
    """
    while True:
        port = secrets.choice(_FREE_RANGE)
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
