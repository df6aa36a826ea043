"""The life of a served model on a Ray cluster: deploy or reuse, wait until it answers, report, delete."""

import contextlib
import hashlib
import json
import logging
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import ray
from ray import serve

from hydra_ray.config import LLMConfig
from hydra_ray.config.resources import LLMResources
from hydra_ray.errors import UserError
from hydra_ray.llm.model_id import server_identity
from hydra_ray.utils.network import DIRECT, check_free, free_port
from hydra_ray.utils.ray_errors import root_cause_line

LOG_EVERY_S = 5.0
POLL_S = 0.25
LAST_WORDS_S = 1.0
"""The raylet's notes on a killed actor arrive within this time."""


def application_name(cfg: LLMConfig, wanted: LLMResources) -> str:
    """The same for the same weights, settings and replicas, so that a running application can be found again."""
    settings = f"{server_identity(cfg)}\0{cfg.serve.model_dump_json()}\0{wanted.model_dump_json()}"
    return f"hydra-llm-{hashlib.blake2b(settings.encode(), digest_size=6).hexdigest()}"


class ServedApp:
    """One application. direct: its replica answers on a port of its own (see `hydra_ray.llm.vllm_app`). joined: nodes
    may be added to the cluster."""

    def __init__(self, cfg: LLMConfig, wanted: LLMResources, *, direct: bool, joined: bool = False) -> None:
        self._cfg, self._wanted = cfg, wanted
        self._direct, self._joined = direct, joined
        self._name = application_name(cfg, wanted)
        self._began = time.monotonic()
        self._logged_at = self._began
        self._deployed = False
        self._started_serve = False

    def start(self, build: Callable[[bool, int], Any]) -> str:
        """Deploys what `build(cluster, port)` returns unless it runs already; returns the base URL. See
        `served_llm`."""
        if not ray.is_initialized():
            raise RuntimeError("served_llm needs a running Ray: call ray.init first")
        # Importing Serve sets its logger to INFO; what matters of its steps is in the lines below.
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        running = _serve_is_running()
        if running and self._status()[0] == "RUNNING":
            url = self._url()
            self._log("already running", always=True)
        else:
            self._check_resources()
            cluster = self._joined or sum(node["Alive"] for node in ray.nodes()) > 1
            # Chosen here, not by the replica: one that is started again must be found where the first one was.
            port = self._cfg.serve.port or free_port()
            if not cluster and not (running and not self._direct):
                check_free(self._cfg.serve.host, port, "llm.serve.port")
            self._log("starting vLLM", always=True)
            if not running:
                self._start_serve(port)
            application = build(cluster, port)
            prefix = None if self._direct else f"/{self._name}"
            serve.run_many(
                [serve.RunTarget(application, name=self._name, route_prefix=prefix)],
                wait_for_ingress_deployment_creation=False,
                wait_for_applications_running=False,
            )
            self._deployed = True
            self._wait_until_running()
            url = self._url()
        self._wait_until_it_answers(url)
        self._log(f"ready at {url}", always=True)
        return url

    def stop(self) -> None:
        """Deletes what `start` deployed; Serve as well if `start` started it and nothing else is served."""
        if not ray.is_initialized():
            return
        with contextlib.suppress(Exception):
            if self._deployed:
                serve.delete(self._name)
            if self._started_serve and not serve.status().applications:
                with _raylet_unheard():
                    serve.shutdown()

    def _start_serve(self, port: int) -> None:
        options = {"host": self._cfg.serve.host, "port": port}
        quiet = {"enable_access_log": False}
        if self._direct:
            serve.start(proxy_location="Disabled", logging_config=quiet)
        else:
            serve.start(http_options=options, logging_config=quiet)
        self._started_serve = True

    def _check_resources(self) -> None:
        gpus = self._wanted.num_gpus
        if gpus and ray.cluster_resources().get("GPU", 0) < gpus:
            self._log(
                f"the cluster has fewer GPUs than resources.llm.num_gpus={gpus:g}: waiting for an autoscaler to add "
                "one (without one, set resources.llm.num_gpus: 0)",
                always=True,
            )

    def _status(self) -> tuple[str, str]:
        """The application's status and everything Serve says about it."""
        application = serve.status().applications.get(self._name)
        if application is None:
            return "NOT_STARTED", ""
        messages = [application.message, *(d.message for d in application.deployments.values())]
        return str(application.status.value), "\n".join(m for m in messages if m)

    def _wait_until_running(self) -> None:
        while True:
            status, message = self._status()
            if status == "RUNNING":
                return
            if status in {"DEPLOY_FAILED", "UNHEALTHY"} or "Error:" in message or "Traceback" in message:
                raise UserError(f"vLLM does not start: {root_cause_line(message)} (Serve's logs say more)")
            self._check_time(f"Serve says {status}: {root_cause_line(message) or 'the engine is loading'}")
            self._log("engine is loading")
            time.sleep(POLL_S)

    def _wait_until_it_answers(self, url: str) -> None:
        body = {"model": self._cfg.model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
        request = urllib.request.Request(
            f"{url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        while True:
            try:
                with DIRECT.open(request, timeout=60) as response:
                    response.read()
                return
            except urllib.error.HTTPError as error:
                reason = f"HTTP {error.code}: {' '.join(error.read(300).decode(errors='replace').split())}"
                if error.code == 400:
                    raise UserError(f"the served model refuses a chat prompt: {reason}") from None
            except OSError as error:
                reason = str(error)
            self._check_time(reason)
            self._log("waiting for its first answer")
            time.sleep(POLL_S)

    def _url(self) -> str:
        if self._direct:
            host, port = serve.get_app_handle(self._name).address.remote().result(timeout_s=30)
            return f"http://{host}:{port}/v1"
        from ray.serve.context import _get_global_client

        options = _get_global_client().http_config
        host = "127.0.0.1" if options.host in {None, "0.0.0.0"} else options.host
        return f"http://{host}:{options.port}/{self._name}/v1"

    def _check_time(self, state: str) -> None:
        limit = self._cfg.serve.start_timeout_s
        if time.monotonic() - self._began > limit:
            raise UserError(f"the served model did not answer within llm.serve.start_timeout_s={limit:g}: {state}")

    def _log(self, stage: str, *, always: bool = False) -> None:
        now = time.monotonic()
        if always or now - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            print(f"[llm] {now - self._began:5.1f} s  {stage}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _raylet_unheard() -> Iterator[None]:
    """Keeps from the terminal what the raylet says of the controller that `serve.shutdown` kills on purpose: that its
    tasks failed. Ray has no public way to say so; without this one the notes are printed."""
    from ray._private import worker

    before = getattr(worker, "_worker_logs_enabled", None)
    worker._worker_logs_enabled = False
    try:
        yield
        time.sleep(LAST_WORDS_S)
    finally:
        worker._worker_logs_enabled = before


def _serve_is_running() -> bool:
    try:
        ray.get_actor("SERVE_CONTROLLER_ACTOR", namespace="serve")
    except ValueError:
        return False
    return True
