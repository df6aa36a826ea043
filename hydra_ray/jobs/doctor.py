"""`hydra-ray doctor`: looks at every node of a cluster for what a run would stumble over later."""

import importlib.metadata
import os
import platform
import socket
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from hydra_ray.errors import UserError
from hydra_ray.serve.state.postgres.database import ALL_TENANTS, Database
from hydra_ray.store.archive.object_store import ObjectStore
from hydra_ray.utils import ray_tls

PACKAGES = ("hydra_ray", "ray", "torch", "transformers", "deepspeed", "pyarrow", "pylance")
CLOCK_S = 1.0
"""Clocks may differ by so much: dates of items and the age of locks are compared between nodes."""
LEAST_FREE = 5 << 30
"""Bytes; below, a run's steps hardly fit under `root`."""
ANSWER_S = 10.0
EVERYWHERE_S = 120.0
GIB = 1 << 30


@dataclass(frozen=True)
class NodeReport:
    """One node.

    Attributes:
        address: As Ray knows it.
        host: Its name.
        versions: Package -> version, "" where it is not installed; `python` too.
        cpus: That Ray counts.
        memory: Bytes.
        gpus: That Ray counts.
        gpus_seen: That PyTorch sees, outside of any reservation.
        clock: Seconds that its clock is ahead of the driver's, at least; negative: behind.
        root: What is wrong with `root` there; "" if nothing.
        free: Bytes free under `root`; None where it was not looked at.
        certificate: What is wrong with its certificate, where Ray's nodes speak TLS, a line each.
        services: What is wrong with the endpoint, the archive and the database from there, a line each.
    """

    address: str
    host: str
    versions: Mapping[str, str] = field(default_factory=dict)
    cpus: float = 0.0
    memory: int = 0
    gpus: float = 0.0
    gpus_seen: int = 0
    clock: float = 0.0
    root: str = ""
    free: int | None = None
    certificate: tuple[str, ...] = ()
    services: tuple[str, ...] = ()

    def line(self) -> str:
        """The node in a line."""
        named = ", ".join(f"{name} {self.versions[name]}" for name in ("hydra_ray", "ray", "torch")
                          if self.versions.get(name))  # fmt: skip
        parts = [named or "no packages", f"{self.cpus:g} CPUs", f"{self.memory / GIB:.0f} GiB"]
        if self.gpus or self.gpus_seen:
            parts.append(f"{self.gpus:g} GPU{'s' if self.gpus != 1 else ''}")
        if self.free is not None:
            parts.append(f"{self.free / GIB:.0f} GiB free under root")
        return f"{self.address} ({self.host}): {', '.join(parts)}"


def problems(nodes: Sequence[NodeReport], silent: Sequence[str] = ()) -> list[str]:
    """What is wrong, one line each. The first node is the one that versions are compared with. silent: addresses of
    nodes that Ray calls alive and that did not answer."""
    found = [f"{address}: runs no task within {EVERYWHERE_S:g} s; see Ray's log files there" for address in silent]
    for name in (*PACKAGES, "python"):
        by_version: dict[str, list[str]] = {}
        for node in nodes:
            by_version.setdefault(node.versions.get(name, ""), []).append(node.address)
        if len(by_version) > 1:
            listed = "; ".join(f"{version or 'none'} on {', '.join(where)}" for version, where in by_version.items())
            found.append(f"{name}: {listed}: install one version on all nodes")
    for node in nodes:
        if abs(node.clock) > CLOCK_S:
            ahead = f"{abs(node.clock):.1f} s {'ahead of' if node.clock > 0 else 'behind'}"
            found.append(f"{node.address}: its clock is {ahead} this machine's: set it by NTP")
        if node.gpus > node.gpus_seen:
            found.append(f"{node.address}: Ray counts {node.gpus:g} GPUs, PyTorch sees {node.gpus_seen}: install the "
                         "driver, or a PyTorch that supports it")  # fmt: skip
        if node.root:
            found.append(f"{node.address}: {node.root}")
        if node.free is not None and node.free < LEAST_FREE:
            found.append(f"{node.address}: {node.free / GIB:.1f} GiB are free under root: free some")
        found += [f"{node.address}: {wrong}" for wrong in (*node.certificate, *node.services)]
    return found


@dataclass(frozen=True)
class Services:
    """What all nodes must reach; None: it is not asked.

    Attributes:
        llm: Address of the endpoint.
        archive: URL of the runs' archive.
        database: URL of the service's database.
    """

    llm: str | None = None
    archive: str | None = None
    database: str | None = None


def doctor(address: str, root: Path | None, services: Services) -> int:
    """Prints a line a node and a line a problem.

    Args:
        address: Of the cluster, as `ray.address`; `auto`: this machine's.
        root: A run's folder, to be the same on all nodes; None: not looked at.
        services: What all nodes must reach.

    Returns:
        0 where nothing is wrong, else 2.

    Raises:
        UserError: No cluster is at the address, this machine's certificate is not accepted there, or `root` cannot be
            written from here.
    """
    from hydra_ray.cluster import find_cluster, init_ray, shutdown_ray
    from hydra_ray.env import set_defaults

    set_defaults()
    init_ray(find_cluster(address), log_to_driver=False, logging_level="ERROR")

    mark = _mark(root) if root else None
    try:
        nodes, silent = _examined(str(mark) if mark else None, services)
    finally:
        if mark:
            with suppress(OSError):
                mark.unlink()
        shutdown_ray()
    for node in nodes:
        print(node.line(), flush=True)
    found = problems(nodes, silent)
    for problem in found:
        print(f"wrong: {problem}", flush=True)
    if not found:
        count = len(nodes)
        print(f"nothing is wrong on {count} node{'s' if count > 1 else ''}", flush=True)
    return 2 if found else 0


def _mark(root: Path) -> Path:
    """A file under `root` that the nodes look for."""
    mark = root.expanduser().resolve() / f".doctor-{uuid.uuid4().hex}"
    try:
        mark.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        mark.write_text("")
    except OSError as error:
        raise UserError(f"root={root}: {error.strerror}; give a folder that this machine can write") from None
    return mark


def _examined(mark: str | None, services: Services) -> tuple[list[NodeReport], list[str]]:
    """All nodes that answer, and the addresses of those that do not."""
    import ray
    from ray.exceptions import GetTimeoutError, RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    look, now = ray.remote(num_cpus=0)(examine), ray.remote(num_cpus=0)(own_time)
    alive = [node for node in ray.nodes() if node["Alive"]]
    on = {node["NodeID"]: NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in alive}
    started = {
        node["NodeID"]: look.options(scheduling_strategy=on[node["NodeID"]]).remote(
            mark, services, node["NodeManagerAddress"]
        )
        for node in alive
    }
    nodes, silent = [], []
    until = time.monotonic() + EVERYWHERE_S
    for node in alive:
        address, there = node["NodeManagerAddress"], node["Resources"]
        try:
            seen: dict[str, Any] = ray.get(started[node["NodeID"]], timeout=max(0.1, until - time.monotonic()))
            asked = time.time()
            clock = ray.get(now.options(scheduling_strategy=on[node["NodeID"]]).remote(), timeout=ANSWER_S)
            ahead = clock_difference(asked, clock, time.time())
        except (GetTimeoutError, RayError):
            silent.append(address)
            continue
        nodes.append(NodeReport(address, cpus=there.get("CPU", 0.0), gpus=there.get("GPU", 0.0), clock=ahead, **seen))
    return nodes, silent


def own_time() -> float:
    """Seconds since 1970 by the clock of the node that this runs on."""
    return time.time()


def clock_difference(asked: float, theirs: float, answered: float) -> float:
    """Seconds by which a node's clock is ahead, at least: it was read at some time between two of ours."""
    if theirs > answered:
        return theirs - answered
    return min(0.0, theirs - asked)


def examine(mark: str | None, services: Services, address: str = "") -> dict[str, Any]:
    """What can be seen on the node that this runs on: fields of `NodeReport`. address: the node's, as Ray knows it."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = ""
    root, free = _look_for(Path(mark)) if mark else ("", None)
    return {
        "host": socket.gethostname(),
        "versions": versions,
        "memory": psutil.virtual_memory().total,
        "gpus_seen": _gpus_seen(),
        "root": root,
        "free": free,
        "certificate": tuple(ray_tls.mistakes(address)),
        "services": tuple(_unreachable(services)),
    }


def _look_for(mark: Path) -> tuple[str, int | None]:
    """What is wrong with the folder of a file that the driver has written, and the bytes that are free there."""
    if not mark.parent.is_dir():
        return f"root={mark.parent}: no such folder there; mount the same one on every node", None
    free = psutil.disk_usage(str(mark.parent)).free
    if not mark.exists():
        return f"root={mark.parent}: another folder than this machine's; mount the same one on every node", free
    if not os.access(mark.parent, os.W_OK):
        return f"root={mark.parent}: cannot be written there; let the user of Ray's processes write it", free
    return "", free


def _gpus_seen() -> int:
    """GPUs of the node. A task without a GPU has them hidden by Ray, before PyTorch is imported."""
    hidden = {name: os.environ.pop(name) for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
              if name in os.environ}  # fmt: skip
    try:
        from hydra_ray.utils.device import count_accelerators

        return count_accelerators()
    except (ImportError, RuntimeError):
        return 0
    finally:
        os.environ.update(hidden)


def _unreachable(services: Services) -> Iterator[str]:
    """What is wrong with each service from here."""
    if services.llm and (wrong := _ask(services.llm)):
        yield wrong
    try:
        if services.archive:
            ObjectStore(services.archive).read("check")
    except UserError as error:
        yield str(error)
    try:
        if services.database:
            database = Database(services.database)
            database.read(ALL_TENANTS, lambda cursor: cursor.execute("SELECT 1"))
            database.close()
    except UserError as error:
        yield str(error)


def _ask(url: str) -> str:
    """What is wrong with an endpoint from here; any answer counts, a refusal for want of a key as well."""
    try:
        urllib.request.urlopen(f"{url.rstrip('/')}/models", timeout=ANSWER_S).close()
    except urllib.error.HTTPError:
        return ""
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        return (
            f"llm.base_url={url}: does not answer ({getattr(reason, 'strerror', None) or reason}); open the way to it"
        )
    return ""
