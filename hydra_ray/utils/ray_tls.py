"""TLS between Ray's nodes: what is wrong with this machine's certificate, said before Ray meets it.

Every node has a certificate of its own, signed by one authority, and shows it to whoever it calls and whoever calls it.
Ray says of a bad one only that nothing can be reached.
"""

import ipaddress
import socket
import ssl
import time
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from hydra_ray.env import RAY_TLS_CA_CERT, RAY_TLS_SERVER_CERT, RAY_TLS_SERVER_KEY, RAY_USE_TLS, Variable, read
from hydra_ray.errors import UserError

LEAST_DAYS = 14
"""Fewer until a certificate ends are worth a word: nodes read it when they start."""
_DAY_S = 86400.0
_ANSWER_S = 5.0
_ALPN = ["h2"]  # what gRPC speaks


def in_use() -> bool:
    """Whether this process's Ray speaks TLS."""
    return read(RAY_USE_TLS).lower() in ("1", "true")


class Certificate(NamedTuple):
    """What a certificate says of itself.

    Attributes:
        names: Addresses and host names that it is for.
        ends: Seconds since 1970.
    """

    names: tuple[str, ...]
    ends: float


def check(address: str = "") -> None:
    """Raises UserError where TLS is in use and this machine's certificate cannot be.

    address: that this machine's node has, which the certificate must be for; "": any.
    """
    if not in_use():
        return
    certificate = _own()
    if address and _plain(address) not in certificate.names:
        there = ", ".join(certificate.names) or "no address"
        raise UserError(
            f"{_named(RAY_TLS_SERVER_CERT)}: is not for {address} but for {there}: issue one that names this address"
        )


def mistakes(address: str) -> list[str]:
    """What is wrong with this node's certificate now or soon, one line each. address: the node's, as Ray knows it."""
    if not in_use():
        return []
    try:
        check(address)
        found, days = [], (_own().ends - time.time()) / _DAY_S
    except UserError as error:
        return [str(error)]
    if days < LEAST_DAYS:
        found.append(f"{_named(RAY_TLS_SERVER_CERT)}: ends in {days:.0f} days: replace it, then start Ray anew there")
    with suppress(OSError):
        if Path(read(RAY_TLS_SERVER_KEY)).stat().st_mode & 0o007:
            found.append(f"{_named(RAY_TLS_SERVER_KEY)}: every account can read this key: chmod 600")
    return found


def channel_credentials() -> Any:
    """gRPC's, for calls of this machine. Raises UserError where a file cannot be read."""
    import grpc

    root, key, chain = (_bytes(variable) for variable in (RAY_TLS_CA_CERT, RAY_TLS_SERVER_KEY, RAY_TLS_SERVER_CERT))
    return grpc.ssl_channel_credentials(root, key, chain)


def spoken_at(host: str, port: int) -> bool:
    """Whether a server speaks TLS there, whatever it thinks of us."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(_ALPN)
    return not isinstance(_shaken(context, host, port), Exception)


def refusal(host: str, port: int) -> str:
    """Why a server's certificate is not accepted here, in words; "" where it is, or there is none."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(_ALPN)
    found = _shaken(context, host, port)
    if isinstance(found, ssl.SSLCertVerificationError):
        return f"{found.verify_message} ({_named(RAY_TLS_CA_CERT)})"
    if isinstance(found, Certificate) and not any(fnmatch(_plain(host), name) for name in found.names):
        return f"it is for {', '.join(found.names) or 'no address'}"
    return ""


def _shaken(context: ssl.SSLContext, host: str, port: int) -> Certificate | OSError:
    """What a server shows of itself in a handshake, or how that failed."""
    try:
        with (
            socket.create_connection((host, port), timeout=_ANSWER_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as encrypted,
        ):
            return _read(encrypted.getpeercert())
    except OSError as error:  # ssl.SSLError is one
        return error


def _own() -> Certificate:
    """This machine's certificate, after a handshake with itself: as client and as server, before the authority.

    Raises UserError, one line with the file, where it fails.
    """
    into_client, into_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = _context(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(into_client, into_server)
    server = _context(ssl.PROTOCOL_TLS_SERVER).wrap_bio(into_server, into_client, server_side=True)
    waiting = [client, server]
    try:
        while waiting:
            side = waiting.pop(0)
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                waiting.append(side)
    except ssl.SSLCertVerificationError as error:
        raise UserError(
            f"{_named(RAY_TLS_SERVER_CERT)}: {error.verify_message} ({_named(RAY_TLS_CA_CERT)}): issue one that this "
            "authority has signed, for clients and servers, and start Ray anew"
        ) from None
    return _read(client.getpeercert())


def _context(protocol: int) -> ssl.SSLContext:
    """One that shows this machine's certificate and wants one of the same authority. Raises UserError."""
    context = ssl.SSLContext(protocol)
    context.check_hostname, context.verify_mode = False, ssl.CERT_REQUIRED
    for variable in (RAY_TLS_SERVER_CERT, RAY_TLS_SERVER_KEY, RAY_TLS_CA_CERT):
        _bytes(variable)
    try:
        context.load_verify_locations(read(RAY_TLS_CA_CERT))
    except ssl.SSLError:
        raise UserError(f"{_named(RAY_TLS_CA_CERT)}: holds no certificate in PEM form: give the authority's") from None
    try:
        context.load_cert_chain(read(RAY_TLS_SERVER_CERT), read(RAY_TLS_SERVER_KEY), password="")
    except ssl.SSLError as error:
        why = "one of them is not in PEM form, or the key has a password"
        if error.reason == "KEY_VALUES_MISMATCH":
            why = "key and certificate do not belong together"
        files = f"{_named(RAY_TLS_SERVER_CERT)}, {_named(RAY_TLS_SERVER_KEY)}"
        raise UserError(f"{files}: {why}: issue both anew") from None
    return context


def _bytes(variable: Variable) -> bytes:
    """What the file holds that a variable names. Raises UserError where that is none that can be read."""
    if not read(variable):
        raise UserError(
            f"{_named(RAY_USE_TLS)}, but {variable.name} is not set: name the PEM file, or unset {RAY_USE_TLS.name} "
            "where the cluster speaks no TLS"
        )
    try:
        return Path(read(variable)).read_bytes()
    except OSError as error:
        raise UserError(f"{_named(variable)}: {error.strerror}: name a PEM file that this account can read") from None


def _read(shown: Any) -> Certificate:
    """shown: as `getpeercert` gives it; empty where the certificate was not looked at."""
    if not shown:
        return Certificate((), 0.0)
    said = (name for kind, name in shown.get("subjectAltName", ()) if kind in ("DNS", "IP Address"))
    names = tuple(dict.fromkeys(_plain(name) for name in said))
    return Certificate(names, float(ssl.cert_time_to_seconds(shown["notAfter"])))


def _plain(name: str) -> str:
    """An address as it is usually written, a name as it is."""
    try:
        return str(ipaddress.ip_address(name.strip()))
    except ValueError:
        return name


def _named(variable: Variable) -> str:
    return f"{variable.name}={read(variable)}"
