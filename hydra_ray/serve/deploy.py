"""Deploying a Serve config file to a running cluster: check, submit, wait until everything is running."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra_ray.environment import RAY_DASHBOARD_ADDRESS, read
from hydra_ray.errors import UserError
from hydra_ray.serve.deploy_file import check_file
from hydra_ray.tracebacks import telling_line

ADDRESS = "http://127.0.0.1:8265"
POLL_S = 1.0
SAY_EVERY_S = 10.0
TIMEOUT_S = 1800.0
"""Machines that an autoscaler adds and large weights take long."""


class Running(NamedTuple):
    """What the cluster says of one application. parts: deployment -> (replicas running, wanted)."""

    name: str
    status: str
    message: str
    parts: Mapping[str, tuple[int, int]]


def deploy(file: Path, address: str | None, *, check_only: bool = False, timeout_s: float = TIMEOUT_S) -> int:
    """Checks the file, submits it to the cluster's dashboard and returns 0 once every application is running.

    address: None: RAY_DASHBOARD_ADDRESS, else ADDRESS. Applications that were deployed from a file before and are not
    in this one are removed, as Serve does it. Raises UserError: a mistake in the file, no cluster at the address, the
    cluster serves at another port already, an application that does not start, or not within `timeout_s` seconds.
    """
    config = check_file(file)
    names = [application.get("name", "default") for application in config["applications"]]
    if check_only:
        print(f"{file}: nothing wrong found; applications: {', '.join(names)}")
        return 0
    cluster = _Cluster(address or read(RAY_DASHBOARD_ADDRESS) or ADDRESS)
    before = cluster.details()
    if differing := list(unlike(config, before)):
        raise UserError(
            f"{file}: Serve runs at {cluster.address} with {'; '.join(differing)}: these cannot be changed while it "
            "runs; take its values, or end it with `serve shutdown` first"
        )
    for gone in leaving(names, before):
        _say(0.0, f"{gone}: is not in the file and is removed")
    cluster.submit(config)
    _wait(cluster, names, timeout_s)
    for line in served_at(names, cluster.details()):
        print(line)
    return 0


def unlike(config: Mapping[str, Any], details: Mapping[str, Any]) -> Iterator[str]:
    """What a running Serve would silently ignore of the file, as `http_options.port=8000 (the file: 9000)`."""
    wanted: dict[tuple[str, ...], Any] = {
        ("http_options", name): value for name, value in config.get("http_options", {}).items()
    }
    wanted["proxy_location",] = config.get("proxy_location")
    for path, value in wanted.items():
        running: Any = details
        for key in path:
            running = running.get(key) if isinstance(running, Mapping) else None
        if running is None or value is None or running == value:
            continue
        secret = "password" in path[-1]
        yield f"{'.'.join(path)} " + ("another than in the file" if secret else f"{running} (the file: {value})")


def leaving(names: Sequence[str], details: Mapping[str, Any]) -> list[str]:
    """Applications that Serve will remove: deployed from a file before, and not among `names`."""
    running = details.get("applications", {})
    return [name for name, about in running.items() if name not in names and about.get("source") == "declarative"]


def states(names: Sequence[str], details: Mapping[str, Any]) -> list[Running]:
    """What the cluster says of the applications that were asked for."""
    found = []
    for name in names:
        about = details.get("applications", {}).get(name, {})
        deployments = about.get("deployments", {})
        messages = [about.get("message", ""), *(part.get("message", "") for part in deployments.values())]
        parts = {
            part: (
                sum(replica.get("state") == "RUNNING" for replica in state.get("replicas", [])),
                state.get("target_num_replicas", 0),
            )
            for part, state in deployments.items()
        }
        found.append(Running(name, about.get("status", "NOT_STARTED"), "\n".join(m for m in messages if m), parts))
    return found


def served_at(names: Sequence[str], details: Mapping[str, Any]) -> Iterator[str]:
    """A line per application: where it answers."""
    options = details.get("http_options") or {}
    host, port = options.get("host", "127.0.0.1"), options.get("port", 8000)
    scheme = "https" if options.get("ssl_certfile") else "http"
    nodes = sorted({str(proxy.get("node_ip")) for proxy in details.get("proxies", {}).values() if proxy})
    for name in names:
        prefix = details.get("applications", {}).get(name, {}).get("route_prefix")
        if prefix is None:
            yield f"{name}: running, on a port of its own"
            continue
        hosts = nodes if host in ("0.0.0.0", "::") and nodes else [host]
        yield f"{name}: running at {', '.join(f'{scheme}://{at}:{port}{prefix}' for at in hosts)}"


def _wait(cluster: "_Cluster", names: Sequence[str], timeout_s: float) -> None:
    began, said, spoken = time.monotonic(), "", float("-inf")
    while True:
        now = states(names, cluster.details())
        for state in now:
            if state.status in ("DEPLOY_FAILED", "UNHEALTHY"):
                raise UserError(
                    f"application {state.name} does not start: {telling_line(state.message) or state.status} "
                    "(Serve's logs on the cluster say more)"
                )
        line, elapsed = "; ".join(_line(state) for state in now), time.monotonic() - began
        if line != said or elapsed - spoken >= SAY_EVERY_S:
            _say(elapsed, line)
            said, spoken = line, elapsed
        if all(state.status == "RUNNING" for state in now):
            return
        if elapsed > timeout_s:
            last = telling_line("\n".join(state.message for state in now))
            raise UserError(f"not running within --timeout {timeout_s:g} s: {line}{'; ' + last if last else ''}")
        time.sleep(POLL_S)


def _line(state: Running) -> str:
    parts = ", ".join(f"{name} {up}/{wanted}" for name, (up, wanted) in state.parts.items())
    return f"{state.name} {state.status}{' (' + parts + ')' if parts else ''}"


def _say(elapsed_s: float, line: str) -> None:
    print(f"[deploy] {elapsed_s:5.1f} s  {line}", file=sys.stderr, flush=True)


class _Cluster:
    """Ray's client for a cluster's dashboard; whatever it raises is a UserError that names the address."""

    def __init__(self, address: str) -> None:
        from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

        self.address = address
        if not address.startswith(("http://", "https://")):
            raise UserError(f"--address {address}: give the dashboard's address, for example {ADDRESS}")
        self._client = self._ask("no Ray cluster answers there", lambda: ServeSubmissionClient(address))

    def details(self) -> dict[str, Any]:
        """Everything that Serve says of itself; empty where it does not run."""
        return dict(self._ask("the cluster does not say what it serves", self._client.get_serve_details))

    def submit(self, config: Mapping[str, Any]) -> None:
        """Makes the cluster serve what the file says."""
        self._ask("the cluster refused the file", lambda: self._client.deploy_applications(dict(config)))

    def _ask(self, failure: str, call: Any) -> Any:
        from ray.exceptions import AuthenticationError

        try:
            return call()
        except AuthenticationError as error:
            first = str(error).strip().splitlines()[0]
            raise UserError(
                f"--address {self.address}: {first}; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN to the cluster's token"
            ) from None
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(f"--address {self.address}: {failure} ({telling_line(str(error))})") from None
