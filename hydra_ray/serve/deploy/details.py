"""What a cluster's dashboard says of Serve, read for `hydra-ray deploy`. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple


class Running(NamedTuple):
    """What the cluster says of one application. parts: deployment -> (replicas running, wanted)."""

    name: str
    status: str
    message: str
    parts: Mapping[str, tuple[int, int]]


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


def touched(names: Sequence[str], details: Mapping[str, Any]) -> list[str]:
    """What others may miss: other applications that go, and those of a file's name that a program started.

    Each with what happens to it.
    """
    running = details.get("applications", {})
    replaced = [name for name in names if running.get(name, {}).get("source") == "imperative"]
    return [
        *(f"{name} is not in the file and is removed" for name in leaving(names, details)),
        *(f"{name} was started by another program and is replaced" for name in replaced),
    ]


def running_now(names: Sequence[str], details: Mapping[str, Any]) -> list[str]:
    """What runs now, a line each: status, and what becomes of it."""
    going = leaving(names, details)
    return [
        f"runs there now: {name} {about.get('status', '?')}, "
        + ("updated" if name in names else "removed" if name in going else "left as it is")
        for name, about in sorted(details.get("applications", {}).items())
    ]


def clashing(config: Mapping[str, Any], details: Mapping[str, Any]) -> list[str]:
    """Applications that stay and answer at a path that the file wants for another of its own."""
    names = [application.get("name", "default") for application in config["applications"]]
    going = leaving(names, details)
    wanted = {application.get("route_prefix", "/"): name for application, name in zip(config["applications"], names,
              strict=True)}  # fmt: skip
    return [
        f"{name} answers at {about['route_prefix']} already, where {wanted[about['route_prefix']]} is to be"
        for name, about in details.get("applications", {}).items()
        if name not in names and name not in going and about.get("route_prefix") in wanted and about["route_prefix"]
    ]


def files_before(config: Mapping[str, Any], details: Mapping[str, Any]) -> dict[str, Any]:
    """The file that brings back what was deployed before `config`; without applications, if nothing was."""
    before = [
        about["deployed_app_config"]
        for about in details.get("applications", {}).values()
        if about.get("source") == "declarative" and about.get("deployed_app_config")
    ]
    return {**config, "applications": before}


def urls_of(details: Mapping[str, Any]) -> dict[str, list[str]]:
    """Where applications answer, by name; none for those on ports of their own."""
    options = details.get("http_options") or {}
    host, port = options.get("host", "127.0.0.1"), options.get("port", 8000)
    scheme = "https" if options.get("ssl_certfile") else "http"
    nodes = sorted({str(proxy.get("node_ip")) for proxy in details.get("proxies", {}).values() if proxy})
    hosts = nodes if host in ("0.0.0.0", "::") and nodes else [host]
    return {
        name: [f"{scheme}://{f'[{at}]' if ':' in at else at}:{port}{about['route_prefix']}" for at in hosts]
        for name, about in details.get("applications", {}).items()
        if about.get("route_prefix") is not None
    }


def served_at(names: Sequence[str], details: Mapping[str, Any]) -> Iterator[str]:
    """A line per application: where it answers."""
    urls = urls_of(details)
    for name in names:
        yield (
            f"{name}: running at {', '.join(urls[name])}" if name in urls else f"{name}: running, on a port of its own"
        )


def line_of(state: Running) -> str:
    """The state in a line."""
    parts = ", ".join(f"{name} {up}/{wanted}" for name, (up, wanted) in state.parts.items())
    return f"{state.name} {state.status}{' (' + parts + ')' if parts else ''}"
