"""Starting a local Ray, or joining the cluster that a config names: what would hang or fail is found out before."""

import logging
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra_ray.env import RAY_ADDRESS, RAY_TMPDIR, RAY_USE_TLS, TMPDIR, read, set_local_ray
from hydra_ray.errors import UserError
from hydra_ray.utils import ray_tls, ray_token
from hydra_ray.utils.stderr_lines import stderr_without
from hydra_ray.utils.terminal import sigterm_kept

LOCAL, AUTO = "local", "auto"
ANSWER_S = 5.0
SOCKET_BYTES = 107
"""Longest path of a Unix socket."""
LEVEL_NOTE = "Set ray log level from environment variable"
"""What Ray's core says of RAY_BACKEND_LOG_LEVEL, which `hydra_ray.env` sets, before it heeds it."""


def check_socket_paths() -> None:
    """Raises UserError if the paths of a local Ray's sockets, which lie in its temporary folder, are too long."""
    source = next((variable for variable in (RAY_TMPDIR, TMPDIR) if read(variable)), None)
    folder = read(source) if source else "/tmp"
    session = f"session_2000-01-01_00-00-00_000000_{os.getpid()}"
    longest = f"{folder.rstrip('/')}/ray/{session}/sockets/plasma_store"
    if source and len(os.fsencode(longest)) > SOCKET_BYTES:
        room = SOCKET_BYTES - len(os.fsencode(longest)) + len(os.fsencode(folder))
        raise UserError(
            f"{source.name}={folder}: too long for the sockets that Ray keeps there: set {RAY_TMPDIR.name} to a folder "
            f"whose path has at most {room} bytes, e.g. {RAY_TMPDIR.name}=/tmp"
        )


def other_cluster() -> str:
    """What `ray.init` would join if it were asked for nothing: RAY_ADDRESS, or the cluster that `ray start` has noted
    on this machine. Empty if there is neither."""
    if read(RAY_ADDRESS):
        return f"{RAY_ADDRESS.name}={read(RAY_ADDRESS)}"
    with suppress(OSError):
        noted = Path(read(RAY_TMPDIR) or read(TMPDIR) or "/tmp") / "ray" / "ray_current_cluster"
        return noted.read_text().strip()
    return ""


def find_cluster(setting: str) -> str:
    """The address to join for `ray.address`: itself, or for `auto` the cluster that this machine belongs to.

    Raises UserError if there is none, nothing there answers as a Ray cluster does, or TLS keeps the two apart.
    """
    ray_tls.check()
    address = setting
    if setting == AUTO:
        from ray._private.services import canonicalize_bootstrap_address

        try:
            address = canonicalize_bootstrap_address(AUTO)
        except (ConnectionError, ValueError, OSError):
            raise UserError(
                "ray.address=auto: no Ray cluster runs on this machine: start one with `ray start --head`, or leave "
                "ray.address out for one of the run's own"
            ) from None
    named = f"ray.address={setting}" + (f" ({address})" if address != setting else "")
    _check_answers(address, named)
    return address


def _check_answers(address: str, named: str) -> None:
    host, port = _host_and_port(address, named)
    advice = "start the cluster, correct the address, or leave ray.address out for one of the run's own"
    try:
        socket.create_connection((host, port), timeout=ANSWER_S).close()
    except OSError as error:
        reason = error.strerror or str(error) or "no answer"
        raise UserError(f"{named}: nothing answers there ({reason}): {advice}") from None
    if address.startswith("ray://"):
        return
    if wrong := _kept_apart(host, port):
        raise UserError(f"{named}: {wrong}")
    if not _is_head(host, port, encrypted=ray_tls.in_use()):
        raise UserError(f"{named}: what answers there is no Ray cluster; its port is 6379 unless it was set: {advice}")


def _kept_apart(host: str, port: int) -> str:
    """What about TLS keeps this process and a server apart, and what to do; "" where that is not it."""
    there, ours = ray_tls.spoken_at(host, port), ray_tls.in_use()
    if there and not ours:
        files = "RAY_TLS_SERVER_CERT, RAY_TLS_SERVER_KEY and RAY_TLS_CA_CERT"
        return f"speaks TLS: set {RAY_USE_TLS.name}=1, and {files} to this machine's files"
    if ours and not there and _is_head(host, port, encrypted=False):
        return f"speaks no TLS: unset {RAY_USE_TLS.name}, or start all nodes with it"
    if ours and there and (why := ray_tls.refusal(host, port)):
        return f"its certificate is not accepted: {why}: all nodes need one of one authority, for their address"
    if ours and there and not _is_head(host, port, encrypted=True):
        return "does not accept this machine's certificate, or is no Ray cluster: all nodes need one of one authority"
    return ""


def _host_and_port(address: str, named: str) -> tuple[str, int]:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if "://" in host or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise UserError(f"{named}: is no address of a cluster: write it as host:port (port 6379 unless it was set), "
                        "`auto` or `local`")  # fmt: skip
    return host.strip("[]"), int(port)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_head(host: str, port: int, *, encrypted: bool) -> bool:
    """Whether a Ray head answers; one that wants a token counts, too: `ray.init` says what is wrong with ours."""
    import grpc

    address = f"{_bracketed(host)}:{port}"
    made = grpc.secure_channel(address, ray_tls.channel_credentials()) if encrypted else grpc.insecure_channel(address)
    with made as channel:
        ask = channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetClusterId")
        try:
            ask(b"", timeout=ANSWER_S)
        except grpc.RpcError as error:
            return bool(error.code() == grpc.StatusCode.UNAUTHENTICATED)
    return True


def init_ray(address: str, setting: str = "ray.address=", **options: Any) -> None:
    """`ray.init` at an address that `find_cluster` gave, or `local`: then on loopback alone, and with a token unless
    RAY_AUTH_MODE says otherwise.

    setting: what names the address, for messages. Raises UserError where a cluster refuses, or Ray's token or this
    machine's certificate cannot be used.
    """
    if address == LOCAL:
        check_socket_paths()
    ray_tls.check("127.0.0.1" if address == LOCAL else "")
    set_local_ray(address == LOCAL)
    import ray
    from ray.exceptions import AuthenticationError

    try:
        with sigterm_kept(), stderr_without(LEVEL_NOTE):
            ray.init(address=address, **options)
    except AuthenticationError as error:
        first = (str(error).strip().splitlines() or ["no token"])[0].rstrip(".")
        raise UserError(f"{setting}{address}: Ray refuses: {first}; {ray_token.ADVICE}") from None
    except PermissionError as error:
        file = error.filename or Path.home() / ray_token.FILE
        raise UserError(f"Ray: {file}: {error.strerror}: make it writable, or {ray_token.ADVICE}") from None
    except (ConnectionError, RuntimeError, ValueError) as error:
        if address == LOCAL:
            raise
        reason = " ".join(str(error).split())
        raise UserError(f"{setting}{address}: the cluster cannot be joined: {reason}") from None
    except Exception as error:
        if type(error) is not Exception:  # as Ray 2.60 says that its processes did not start in time
            raise
        reason = " ".join(str(error).split())
        raise UserError(f"Ray does not start on this machine: {reason} Try again when it is less busy; Ray's logs lie "
                        "in its temporary folder") from None  # fmt: skip
    ray_token.close()


def shutdown_ray() -> None:
    """`ray.shutdown`, and an end to Ray Data's log: its file would stay open in the folder of the session that ended,
    and a later session of this process, whose first line finds that folder gone, would fail.
    """
    import ray

    ray.shutdown()
    for handler in logging.getLogger("ray.data").handlers:
        handler.close()


def metrics_addresses() -> list[str]:
    """Where the nodes of the cluster that this process has joined export metrics for Prometheus."""
    import ray

    nodes = [node for node in ray.nodes() if node["Alive"]]
    return [f"http://{_bracketed(node['NodeManagerAddress'])}:{node['MetricsExportPort']}/metrics" for node in nodes]
