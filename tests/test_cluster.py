"""Which cluster a run joins, and what is wrong with an address or a temporary folder, before Ray is asked."""

import contextlib
import logging
import shutil
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from hydra_ray.cli import main
from hydra_ray.cluster import check_socket_paths, find_cluster, other_cluster, shutdown_ray
from hydra_ray.errors import UserError
from hydra_ray.utils.network import free_port
from tests import certificates


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))


@pytest.fixture
def other_server() -> Iterator[int]:
    """The port of a server that is not Ray: it closes every connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def close_all() -> None:
            try:
                while True:
                    server.accept()[0].close()
            except OSError:
                return

        threading.Thread(target=close_all, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def test_an_address_where_nothing_answers_is_one_line() -> None:
    port = free_port()
    with pytest.raises(UserError, match=rf"^ray\.address=127\.0\.0\.1:{port}: nothing answers there \(Connection ref"):
        find_cluster(f"127.0.0.1:{port}")


def test_a_server_that_is_not_ray_is_told_apart(other_server: int) -> None:
    with pytest.raises(UserError, match=r"what answers there is no Ray cluster; its port is 6379"):
        find_cluster(f"127.0.0.1:{other_server}")


@pytest.mark.parametrize("address", ["http://127.0.0.1:8265", "head", "head:", ":6379", "head:99999"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(UserError, match=r"is no address of a cluster: write it as host:port"):
        find_cluster(address)


def test_auto_without_a_cluster_and_with_one_that_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", set)
    with pytest.raises(UserError, match=r"^ray\.address=auto: no Ray cluster runs on this machine"):
        find_cluster("auto")
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
    with pytest.raises(UserError, match=r"^ray\.address=auto \(\S+:\d+\): nothing answers there"):
        find_cluster("auto")


def test_the_cluster_that_is_not_joined_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert other_cluster() == ""
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("10.0.0.1:6379\n")
    assert other_cluster() == "10.0.0.1:6379"
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert other_cluster() == "RAY_ADDRESS=head:6379"


def test_a_temporary_folder_that_is_too_long_for_sockets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "")
    monkeypatch.setenv("TMPDIR", "/" + "t" * 89)
    with pytest.raises(UserError, match=r"^TMPDIR=/t+: too long for the sockets.*set RAY_TMPDIR to a folder"):
        check_socket_paths()
    assert main(["ingest", f"root={tmp_path}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    check_socket_paths()


def test_a_later_session_of_the_same_process_has_a_log_of_ray_data_of_its_own(tmp_path):
    from ray.data._internal.logging import SessionFileHandler

    sessions = [tmp_path / "first", tmp_path / "second"]
    handler = SessionFileHandler("ray-data.log", get_log_directory=lambda: str(sessions[0]))
    log = logging.getLogger("ray.data")
    log.addHandler(handler)
    try:
        log.error("of the first session")
        shutdown_ray()
        shutil.rmtree(sessions.pop(0))
        log.error("of the second session")
        assert (sessions[0] / "ray-data.log").read_text() == "of the second session\n"
    finally:
        log.removeHandler(handler)
        handler.close()


@contextlib.contextmanager
def head(folder: Path | None) -> Iterator[str]:
    """The address of a server that answers what a head is asked; with the certificate in a folder, or without TLS."""
    answers = grpc.unary_unary_rpc_method_handler(lambda *_: b"")
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([
        grpc.method_handlers_generic_handler("ray.rpc.NodeInfoGcsService", {"GetClusterId": answers})
    ])  # fmt: skip
    if folder is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        pair = ((folder / "node.key").read_bytes(), (folder / "node.crt").read_bytes())
        credentials = grpc.ssl_server_credentials([pair], (folder / "ca.crt").read_bytes(), require_client_auth=True)
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


@certificates.needs_openssl
def test_a_head_that_speaks_tls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, other_server: int) -> None:
    authority = certificates.make_authority(tmp_path / "ours")
    ours = certificates.issue(authority, tmp_path / "node", "127.0.0.1")
    with head(tmp_path / "node") as address:
        monkeypatch.delenv("RAY_USE_TLS", raising=False)
        with pytest.raises(UserError, match=rf"^ray\.address={address}: speaks TLS: set RAY_USE_TLS=1, and RAY_TLS_S"):
            find_cluster(address)
        for name, value in ours.items():
            monkeypatch.setenv(name, value)
        assert find_cluster(address) == address
        monkeypatch.setenv("RAY_TLS_SERVER_KEY", str(tmp_path / "gone"))
        with pytest.raises(UserError, match=r"^RAY_TLS_SERVER_KEY=\S+/gone: No such file or directory: name"):
            find_cluster(address)
        theirs = certificates.make_authority(tmp_path / "theirs")
        for name, value in certificates.issue(theirs, tmp_path / "stranger", "127.0.0.1").items():
            monkeypatch.setenv(name, value)
        with pytest.raises(UserError, match=r": its certificate is not accepted: .*: all nodes need one of one"):
            find_cluster(address)
        # We know their authority, they do not know ours.
        both = (authority / "ca.crt").read_bytes() + (theirs / "ca.crt").read_bytes()
        (tmp_path / "stranger" / "ca.crt").write_bytes(both)
        with pytest.raises(UserError, match=r": does not accept this machine's certificate, or is no Ray cluster: "):
            find_cluster(address)
    with pytest.raises(UserError, match=r"what answers there is no Ray cluster; its port is 6379"):
        find_cluster(f"127.0.0.1:{other_server}")


@certificates.needs_openssl
def test_a_head_without_tls_where_it_is_in_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = certificates.make_authority(tmp_path / "ours")
    for name, value in certificates.issue(authority, tmp_path / "node", "127.0.0.1").items():
        monkeypatch.setenv(name, value)
    with head(None) as address, pytest.raises(UserError, match=r": speaks no TLS: unset RAY_USE_TLS, or start all"):
        find_cluster(address)
