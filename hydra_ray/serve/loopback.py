"""On a machine of its own, replicas of Ray Serve are not to be reached from others either."""

import logging
from typing import Any

from hydra_ray.serve.http.middleware.foreign_pages import is_loopback

logger = logging.getLogger(__name__)

EVERYWHERE = "[::]"


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
