import os
from types import SimpleNamespace
from typing import Any

import pytest

from hydra_ray.training.joint import network_interface
from hydra_ray.training.joint.network_interface import RoutedTorchConfig, interface_of, talk_over_node_address

VARIABLES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
INTERFACES = {
    "lo": [SimpleNamespace(address="127.0.0.1")],
    "docker0": [SimpleNamespace(address="172.17.0.1")],
    "eth1": [SimpleNamespace(address="fe80::1%eth1"), SimpleNamespace(address="10.0.0.7")],
}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(network_interface.psutil, "net_if_addrs", lambda: INTERFACES)


def at(monkeypatch: pytest.MonkeyPatch, address: str) -> list[str | None]:
    """What is set on a node of that address."""
    monkeypatch.setattr(network_interface, "get_node_ip_address", lambda: address)
    talk_over_node_address()
    return [os.environ.get(name) for name in VARIABLES]


@pytest.mark.parametrize(
    ("address", "name"), [("10.0.0.7", "eth1"), ("fe80::1", "eth1"), ("172.17.0.1", "docker0"), ("10.0.0.8", None)]
)
def test_the_interface_that_has_the_address(address: str, name: str | None) -> None:
    assert interface_of(address, INTERFACES) == name


def test_both_libraries_talk_over_the_nodes_ray_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert at(monkeypatch, "10.0.0.7") == ["eth1", "eth1"]


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "ib0")
    assert at(monkeypatch, "10.0.0.7") == ["ib0", "eth1"]


@pytest.mark.parametrize("address", ["127.0.0.1", "192.0.2.1"])
def test_without_an_interface_to_name_nothing_is_set(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    assert at(monkeypatch, address) == [None, None]


def test_workers_choose_before_they_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []
    backend = RoutedTorchConfig(backend="gloo").backend_cls
    monkeypatch.setattr(network_interface.Backend, "on_start", lambda *_: done.append("connect"))
    backend().on_start(SimpleNamespace(execute=done.append), None)
    assert done == [talk_over_node_address, "connect"]
