"""What is wrong with a node's certificate is one line that names the file."""

import contextlib
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hydra_ray.errors import UserError
from hydra_ray.utils import ray_tls
from tests.certificates import issue, let_end, make_authority, needs_openssl, variables

pytestmark = needs_openssl

ADDRESS = "10.0.0.7"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_authority(tmp_path_factory.mktemp("authority") / "ours")


@pytest.fixture
def node(authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a good certificate, which this process uses."""
    use(monkeypatch, issue(authority, tmp_path / "node", ADDRESS, "fd00::1", "node.example"))
    return tmp_path / "node"


def use(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def complaint(address: str = "") -> str:
    with pytest.raises(UserError) as raised:
        ray_tls.check(address)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_without_tls_nothing_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_USE_TLS", raising=False)
    monkeypatch.setenv("RAY_TLS_SERVER_CERT", "/nowhere")
    ray_tls.check(ADDRESS)
    assert ray_tls.mistakes(ADDRESS) == []


@pytest.mark.parametrize("address", ["", ADDRESS, "fd00::1", "FD00:0:0:0:0:0:0:1", "node.example", "127.0.0.1"])
def test_a_good_certificate(node: Path, address: str) -> None:
    ray_tls.check(address)
    assert ray_tls.mistakes(address) == []


@pytest.mark.parametrize("name", ["RAY_TLS_SERVER_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_CA_CERT"])
def test_files_that_are_not_named_not_there_or_no_certificates(
    node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv(name)
    assert complaint().startswith(f"RAY_USE_TLS=1, but {name} is not set: name the PEM file")
    monkeypatch.setenv(name, str(tmp_path / "gone.pem"))
    assert complaint().startswith(f"{name}={tmp_path}/gone.pem: No such file or directory: name a PEM file")
    (tmp_path / "other.pem").write_text("no certificate\n")
    monkeypatch.setenv(name, str(tmp_path / "other.pem"))
    assert f"{name}={tmp_path}/other.pem" in complaint()
    assert re.search("holds no certificate in PEM form|one of them is not in PEM form", complaint())


def test_a_certificate_that_has_ended_or_ends_soon(
    authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, issue(authority, tmp_path, ADDRESS))
    let_end(authority, tmp_path)
    named = f"RAY_TLS_SERVER_CERT={tmp_path}/node.crt"
    expected = f"{named}: certificate has expired (RAY_TLS_CA_CERT={tmp_path}/ca.crt): issue one"
    assert complaint().startswith(expected)
    (found,) = ray_tls.mistakes(ADDRESS)
    assert found.startswith(expected)
    issue(authority, tmp_path, ADDRESS, days=3)
    ray_tls.check(ADDRESS)
    (found,) = ray_tls.mistakes(ADDRESS)
    assert found == f"{named}: ends in 3 days: replace it, then start Ray anew there"


def test_another_authority_another_key_and_another_address(
    node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "node.crt: is not for 10.0.0.8 but for 10.0.0.7, fd00::1, node.example, localhost, " in complaint("10.0.0.8")
    assert ray_tls.mistakes("10.0.0.8") == [complaint("10.0.0.8")]
    stranger = issue(make_authority(tmp_path / "theirs"), tmp_path / "other", ADDRESS)
    monkeypatch.setenv("RAY_TLS_CA_CERT", stranger["RAY_TLS_CA_CERT"])
    assert re.search(r"node\.crt: .*(issuer certificate|signature failure).*: issue one that this", complaint())
    monkeypatch.setenv("RAY_TLS_SERVER_KEY", stranger["RAY_TLS_SERVER_KEY"])
    assert complaint().endswith("key and certificate do not belong together: issue both anew")


def test_a_key_with_a_password_is_not_asked_for_it(node: Path) -> None:
    key = node / "node.key"
    command = ["openssl", "ec", "-aes128", "-passout", "pass:secret", "-in", str(key), "-out", str(key)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert "or the key has a password" in complaint()


def test_a_key_that_every_account_can_read(node: Path) -> None:
    (node / "node.key").chmod(0o644)
    assert ray_tls.mistakes(ADDRESS) == [
        f"RAY_TLS_SERVER_KEY={node}/node.key: every account can read this key: chmod 600"
    ]


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[int]:
    """The port of a server on loopback with the certificate in a folder, which asks clients for theirs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "node.crt", folder / "node.key")
    context.load_verify_locations(folder / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def shake_hands() -> None:
            while True:
                try:
                    plain = listening.accept()[0]
                except OSError:
                    return
                with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True):
                    pass

        threading.Thread(target=shake_hands, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def test_servers_with_and_without_an_acceptable_certificate(authority: Path, node: Path, tmp_path: Path) -> None:
    with serving(node) as port:
        assert ray_tls.spoken_at("127.0.0.1", port)
        assert ray_tls.refusal("127.0.0.1", port) == ""
    issue(make_authority(tmp_path / "theirs"), tmp_path / "other", "127.0.0.1")
    with serving(tmp_path / "other") as port:
        assert ray_tls.spoken_at("127.0.0.1", port)
        assert ray_tls.refusal("127.0.0.1", port).endswith(f" (RAY_TLS_CA_CERT={node}/ca.crt)")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        threading.Thread(target=lambda: silent.accept()[0].close(), daemon=True).start()
        assert not ray_tls.spoken_at("127.0.0.1", silent.getsockname()[1])


def test_variables_name_what_the_script_makes(node: Path) -> None:
    assert {Path(path).name for path in list(variables(node).values())[1:]} == {file.name for file in node.iterdir()}
