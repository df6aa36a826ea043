"""Which token calls to a cluster carry, and that no other account reads it; what keeps a local Ray to its machine."""

import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray.exceptions

from hydra_ray import env
from hydra_ray.cluster import init_ray
from hydra_ray.errors import UserError
from hydra_ray.utils import ray_token


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a token, and an environment that says nothing."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", env.LOOPBACK.name):
        monkeypatch.setenv(name, "x")  # so that it is put back
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def token(home: Path, mode: int = 0o644) -> Path:
    file = home / ".ray" / "auth_token"
    file.parent.mkdir()
    file.write_text("abc")
    file.chmod(mode)
    return file


def test_a_token_that_is_there_is_sent(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ray_token.send() == "without a token, as this machine has none"
    assert env.read(env.RAY_AUTH_MODE) == ""
    file = token(home)
    assert ray_token.send() == f"with Ray's token ({file})"
    assert env.read(env.RAY_AUTH_MODE) == "token"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/other")
    assert ray_token.send() == "with Ray's token (RAY_AUTH_TOKEN_PATH=/other)"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret-token")
    assert ray_token.send() == "with Ray's token (RAY_AUTH_TOKEN)"


def test_what_the_user_has_decided_stays(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token(home)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert ray_token.send() == "without a token (RAY_AUTH_MODE=disabled)"
    assert env.read(env.RAY_AUTH_MODE) == "disabled"
    assert not ray_token.required()
    monkeypatch.delenv("RAY_AUTH_MODE")
    assert ray_token.required()


def test_others_cannot_read_the_token(home: Path) -> None:
    ray_token.close()  # there is none
    file = token(home)
    ray_token.close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_local_ray_is_on_loopback_and_one_that_is_joined_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    constants = sys.modules["ray._private.ray_constants"]
    monkeypatch.setattr(constants, "ENABLE_RAY_CLUSTER", True)
    env.set_local_ray(True)
    assert env.read(env.LOOPBACK) == "0"
    assert constants.ENABLE_RAY_CLUSTER is False  # Ray was imported before
    env.set_local_ray(False)
    assert env.read(env.LOOPBACK) == ""
    assert constants.ENABLE_RAY_CLUSTER is True
    monkeypatch.setenv(env.LOOPBACK.name, "1")  # the user's own
    env.set_local_ray(True)
    env.set_local_ray(False)
    assert env.read(env.LOOPBACK) == "1"
    assert constants.ENABLE_RAY_CLUSTER is True


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            ray.exceptions.AuthenticationError("Token authentication is on, but there is none.\nmore"),
            "--address head:6379: Ray refuses: ",
        ),
        (PermissionError(13, "Permission denied", "/home/x/.ray"), "Ray: /home/x/.ray: Permission denied: make it"),
        (Exception("The current node timed out."), "Ray does not start on this machine: The current node timed out. T"),
        (ConnectionError("nothing there"), "--address head:6379: the cluster cannot be joined: nothing there"),
    ],
)
def test_a_ray_that_refuses_is_one_line(error: Exception, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise error

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(UserError) as raised:
        init_ray("head:6379", "--address ")
    assert str(raised.value).startswith(says)
    if isinstance(error, (PermissionError, ray.exceptions.AuthenticationError)):
        assert "RAY_AUTH_TOKEN_PATH" in str(raised.value)


def test_replicas_of_a_loopback_node_listen_there_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.serve._private import replica

    from hydra_ray.utils.network import stay_on_node

    bound: list[str] = []
    monkeypatch.setattr(replica, "add_port_to_grpc_server", lambda server, address: bound.append(address) or 5)
    monkeypatch.setattr(ray, "util", SimpleNamespace(get_node_ip_address=lambda: "10.0.0.1"))
    stay_on_node()
    assert replica.add_port_to_grpc_server(None, "[::]:0") == 5
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "127.0.0.1")
    stay_on_node()
    stay_on_node()
    assert replica.add_port_to_grpc_server(None, "[::]:0") == 5
    assert bound == ["[::]:0", "127.0.0.1:0"]
