"""Whether what was deployed gives answers: Serve calls an application running as soon as its processes are."""

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from hydra_ray.errors import UserError
from hydra_ray.serve.deploy.applications import APPLICATIONS
from hydra_ray.serve.http.middleware.local_routes import LOCAL_ROUTE

PATIENCE_S = 60.0
"""How long an application may take to give answers once its processes run."""
UNREACHED_S = 10.0
"""After so long without a connection, it is this machine that cannot reach the address."""
PAUSE_S = 1.0
ATTEMPT_S = 10.0


class Probe(NamedTuple):
    """application: its name. url: says 200 once the application gives answers."""

    application: str
    url: str


class UnreachedError(Exception):
    """Nothing listens at the address."""


def probes(config: Mapping[str, Any], urls: Mapping[str, str]) -> Iterator[Probe]:
    """What to ask of the applications of a file. urls: where each answers, by name; others have ports of their own."""
    for application in config["applications"]:
        name = application.get("name", "default")
        if name in urls:
            yield Probe(name, urls[name].rstrip("/") + APPLICATIONS[application["import_path"]].ready)


def check(
    probe: Probe,
    ask: Callable[[str], str] | None = None,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Returns once the application gives answers.

    ask: an URL -> what is wrong, empty if nothing is (default: `ask`). Raises UserError, which names the part that is
    not ready, after PATIENCE_S; UnreachedError after UNREACHED_S without a connection.
    """
    began, reached = clock(), False
    while True:
        try:
            wrong = (ask or ask_over_http)(probe.url)
            reached = True
        except UnreachedError as error:
            wrong = str(error)
            if not reached and clock() - began >= UNREACHED_S:
                raise
        if not wrong:
            return
        if clock() - began >= PATIENCE_S:
            raise UserError(f"application {probe.application} gives no answers: {wrong} ({probe.url})")
        pause(PAUSE_S)


def ask_over_http(url: str) -> str:
    """What is wrong, as the address says it; empty for a 200, and for a route that only its node may call: whether
    that answers, the service's own readiness says. Raises UnreachedError."""
    # A certificate names the public host, not the node that is asked here, and nothing secret is sent.
    any_certificate = ssl.create_default_context()
    any_certificate.check_hostname, any_certificate.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=any_certificate)
    )
    try:
        with opener.open(url, timeout=ATTEMPT_S):
            return ""
    except urllib.error.HTTPError as error:
        body = error.read()
        return "" if _is_local_route(body) else _parts(body) or f"HTTP {error.code}"
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UnreachedError(str(getattr(reason, "strerror", None) or reason)) from None


def _parts(body: bytes) -> str:
    """The parts that `/readyz` says are not ready, with why."""
    try:
        parts = json.loads(body)["parts"]
        return "; ".join(f"{part}: {state}" for part, state in parts.items() if state != "ok")
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def _is_local_route(body: bytes) -> bool:
    try:
        return bool(json.loads(body)["error"]["code"] == LOCAL_ROUTE)
    except (ValueError, KeyError, TypeError):
        return False
