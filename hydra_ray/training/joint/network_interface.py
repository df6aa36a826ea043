"""Which network interface a training worker's gloo and NCCL talk over: the one that has its node's Ray address.

Left alone, gloo takes the address that the node's hostname resolves to. Where that is 127.0.1.1, as Debian and Ubuntu
write it, or where it does not resolve, workers on two nodes never meet: `Gloo connectFullMesh failed`, after minutes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import psutil
from ray.train.torch import TorchConfig
from ray.util import get_node_ip_address

from hydra_ray.env import set_network_interface

Backend: Any = TorchConfig().backend_cls


def interface_of(address: str, interfaces: Mapping[str, Iterable[Any]]) -> str | None:
    """The interface with an IP address; None where it has none, as behind a translated address.

    Args:
        address: Of the node, as Ray knows it.
        interfaces: As `psutil.net_if_addrs` gives them.
    """
    # An IPv6 address may name its interface: fe80::1%eth0.
    own = (name for name, found in interfaces.items() if any(a.address.split("%")[0] == address for a in found))
    return next(own, None)


def talk_over_node_address() -> None:
    """Sets the interface for gloo and NCCL in this process, unless the user has. A node that only this machine reaches
    is left alone."""
    address = get_node_ip_address()
    interface = None if address.startswith("127.") else interface_of(address, psutil.net_if_addrs())
    if interface is not None:
        set_network_interface(interface)


class RoutedBackend(Backend):  # type: ignore[misc]  # Ray Train has no types
    """Ray Train's PyTorch backend, whose workers choose their interface before they connect."""

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        """Runs in Ray Train's controller, for each group of workers that it starts."""
        worker_group.execute(talk_over_node_address)
        super().on_start(worker_group, backend_config)


@dataclass
class RoutedTorchConfig(TorchConfig):  # type: ignore[misc]  # Ray Train has no types
    """`TorchConfig` with `RoutedBackend`."""

    @property
    def backend_cls(self) -> type:
        """What Ray Train starts workers' process groups with."""
        return RoutedBackend
