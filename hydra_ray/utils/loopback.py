"""Loopback addresses: which they are, and Ray Serve's replicas kept on them where their node is."""

import ipaddress
import logging
from typing import Any

logger = logging.getLogger(__name__)

EVERYWHERE = "[::]"


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
