"""`hydra-ray serve`: a run's service on this machine, in the foreground, along with its black box."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from hydra_ray.cluster import LOCAL, init_ray, metrics_addresses, shutdown_ray
from hydra_ray.config import Config
from hydra_ray.env import serve_keys, set_local_ray, set_service_defaults
from hydra_ray.errors import UserError
from hydra_ray.pipeline.run_context import LOGICAL_CPUS_PER_CORE
from hydra_ray.serve.bundle import find_run, load_run_artifacts
from hydra_ray.serve.config import ServeConfig, check_served
from hydra_ray.serve.http.key_file import load_keys
from hydra_ray.serve.http.keys import expiring
from hydra_ray.serve.state.location import state_of
from hydra_ray.utils import ray_token
from hydra_ray.utils.network import check_free, is_loopback
from hydra_ray.utils.ray_errors import lost_worker, root_cause_line
from hydra_ray.utils.terminal import on_hangup
from hydra_ray.utils.tracing import check_tracing

APPLICATION = "hydra"
LLM_CHECK_S = 10.0
EXPIRING_S = 14 * 86400.0
"""Keys that end within so many seconds are named when the service starts."""


def serve_run(
    config: ServeConfig, host: str, port: int, *, address: str | None = None, metrics_port: int | None = None
) -> int:
    """Serves until the process gets a signal to stop; returns the exit code.

    Args:
        config: of the service.
        host: where it listens.
        port: likewise.
        address: of a running Ray cluster to join.
        metrics_port: where the Ray that is started exports its metrics (None: any free port).

    Raises:
        UserError: before anything is started, for a run, keys, a port or a black box that cannot be used.
    """
    end = _End()
    with hosted(config, host, port, address=address, metrics_port=metrics_port):
        end.wait()
        _log("stopping")
    return 0


class _End:
    """SIGINT, SIGTERM and a closed terminal: while the service starts, the first one interrupts (KeyboardInterrupt), so
    that what runs already is taken down; later ones change nothing."""

    def __init__(self) -> None:
        self._signalled = threading.Event()
        self._waiting = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        on_hangup(self._end)

    def wait(self) -> None:
        """Returns when a signal has come."""
        self._waiting = True
        self._signalled.wait()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._end()

    def _end(self) -> None:
        first = not self._signalled.is_set()
        self._signalled.set()
        if first and not self._waiting:
            raise KeyboardInterrupt


@contextlib.contextmanager
def hosted(
    config: ServeConfig, host: str, port: int, *, address: str | None = None, metrics_port: int | None = None
) -> Any:
    """The service, as long as the context lasts; yields its base URL. See `serve_run`."""
    bundle = load_run_artifacts(find_run(Path(config.root), config.run), config.seed)
    config = _with_keys(config, host)
    keys = load_keys(config.keys, config.tenant if config.allow_anonymous else None, stored=config.keys_in_database)
    check_free(host, port, "--port")
    if config.traces:
        check_tracing()
    _check_metrics_port(metrics_port, port, address)
    url = config.llm_url or bundle.config.llm.base_url
    if url is not None:
        _check_llm(bundle.config, url)
    else:
        check_served(bundle.config.llm)
    set_service_defaults()
    set_local_ray(not address)  # before Ray is imported
    from ray import serve

    from hydra_ray.llm.vllm_app import served_llm
    from hydra_ray.serve.app import build_app
    from hydra_ray.serve.state.init_state import init_state

    state = state_of(config)
    init_state(bundle, state, config.tenant, _log)
    if config.keys_in_database:
        keys = state.open_keys().read()
        if not keys.keys:
            _log("no API keys in the database: all requests are refused until `hydra-ray keys add` has made one")
    for line in expiring(keys.keys, EXPIRING_S):
        _log(line)
    with contextlib.ExitStack() as stack:
        _start_ray(stack, host, port, address, metrics_port)
        if url is None:
            url = stack.enter_context(served_llm(bundle.config.llm, bundle.config.resources.llm))

        _log(f"starting the service of run {bundle.name}")
        application = build_app(config.model_copy(update={"llm_url": url}))
        stack.callback(serve.delete, APPLICATION)
        with starting("the service"):
            serve.run(application, name=APPLICATION, route_prefix="/")
        shown = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"
        _log(metrics_line(metrics_addresses(), joined=bool(address)))
        _log(f"ready at {shown} (page), {shown}/v1 (OpenAI), {shown}/docs")
        yield shown


def _with_keys(config: ServeConfig, host: str) -> ServeConfig:
    """Without any keys, a service that only this machine reaches is open. Raises UserError for another one."""
    if config.keys_in_database or (not config.allow_anonymous and (config.keys or serve_keys().value)):
        return config
    if not is_loopback(host):
        raise UserError(
            f"--host {host}: others reach it, but there are no API keys: give --keys FILE, one tenant:key a line, or "
            "keep them in the database (keys_in_database=true)"
        )
    if config.allow_anonymous:
        return config
    _log(f"no API keys: anyone on this machine acts as tenant {config.tenant!r} (--keys FILE changes that)")
    return config.model_copy(update={"allow_anonymous": True})


def _check_llm(config: Config, url: str) -> None:
    """Raises UserError if nothing answers at the LLM's address; asks for its models, which costs nothing."""
    from hydra_ray.llm.http import ChatHttpClient
    from hydra_ray.llm.retry import TransientError

    async def ask() -> None:
        endpoint = ChatHttpClient(config.llm.model_copy(update={"timeout_s": LLM_CHECK_S}), url, 1)
        try:
            await endpoint.models()
        finally:
            await endpoint.close()

    try:
        asyncio.run(ask())
    except TransientError as error:
        raise UserError(f"--llm-url {url}: {error}; start the language model first, or correct the address") from None
    except UserError as error:
        raise UserError(f"--llm-url {url}: {error}") from None


def _check_metrics_port(port: int | None, of_service: int, address: str | None) -> None:
    """Raises UserError if Ray cannot export its metrics there."""
    if port is None:
        return
    if address:
        raise UserError(f"--metrics-port: the nodes of the cluster at {address} have ports of their own; leave it out")
    if port == of_service:
        raise UserError(f"--metrics-port: {port} is the service's own port; give another")
    check_free("127.0.0.1", port, "--metrics-port")


def metrics_line(urls: Sequence[str], *, joined: bool) -> str:
    """What an operator reads of where metrics are. joined: whether the nodes are a cluster's, not the service's own."""
    where = f"each of the cluster's {len(urls)} nodes, such as {urls[0]}" if joined else urls[0]
    return f"metrics for Prometheus at {where}"


def _start_ray(
    stack: contextlib.ExitStack, host: str, port: int, address: str | None, metrics_port: int | None
) -> None:
    from ray import serve

    from hydra_ray.serve.app import LOGGING

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "WARNING"}
    if not address:
        options |= {"num_cpus": LOGICAL_CPUS_PER_CORE * (os.cpu_count() or 1), "include_dashboard": False}
        options |= {"_metrics_export_port": metrics_port} if metrics_port is not None else {}
    if address:
        _log(f"joining the cluster at {address} {ray_token.send()}")
    else:
        _log(f"starting Ray: on this machine alone, {'with' if ray_token.required() else 'without'} its token")
    # Interrupted while it starts, too, all that runs already must go.
    stack.callback(shutdown_ray)
    init_ray(address or LOCAL, "--address ", **options)
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    if address and not serve.status().proxies:
        stack.callback(serve.shutdown)  # ours; one that was there before goes on, and a Ray of our own takes it along
    with starting("Ray Serve"):
        serve.start(http_options={"host": host, "port": port}, logging_config=LOGGING)


@contextlib.contextmanager
def starting(what: str) -> Iterator[None]:
    """What Serve raises comes out as one UserError."""
    from ray.exceptions import RayActorError

    try:
        yield
    except RayActorError as error:  # of Serve's own: its proxy, for one, has not started in time
        raise UserError(
            f"{what} does not start: {lost_worker(error) or root_cause_line(str(error))} (Ray's logs say more); on a "
            "machine that is busy, start it again when there is less to do"
        ) from None
    except RuntimeError as error:  # with the traceback of the part that failed
        raise UserError(f"{what} does not start: {root_cause_line(str(error))} (Ray's logs say more)") from None


_BEGAN = time.monotonic()


def _log(line: str) -> None:
    print(f"[serve] {time.monotonic() - _BEGAN:5.1f} s  {line}", file=sys.stderr, flush=True)
