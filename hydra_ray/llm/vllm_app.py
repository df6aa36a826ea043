"""vLLM behind Ray Serve LLM: the one module that knows vLLM or `ray.serve.llm`, and only inside functions.

Two ways to serve one model, both as an application of its own, called over HTTP like any other black box:

    direct      one replica on CPU. Ray Serve starts, watches and restarts the replica; the replica answers on a port
                of its own. Measured against the way below on two cores: 4 ms of CPU time a request instead of 20,
                and two processes less to start.
    ingress     everything else (GPU, several replicas): `build_openai_app` as it comes, behind Serve's HTTP proxy.
"""

import asyncio
import contextlib
import importlib.util
import socket
from collections.abc import Iterator
from typing import Any

from hydra_ray import env
from hydra_ray.config import LLMConfig
from hydra_ray.errors import UserError
from hydra_ray.llm.model_id import weights_source

DEPLOYMENT = "LLM"


def engine_spec(cfg: LLMConfig) -> dict[str, Any]:
    """The arguments of Ray's `LLMConfig` for the model that `llm.serve` describes.

    Raises UserError if the weights cannot be found.
    """
    serve = cfg.serve
    weights = weights_source(serve.source)
    cpu = serve.accelerator == "cpu"
    engine: dict[str, Any] = {
        "dtype": serve.dtype,
        "max_model_len": serve.max_model_len,
        "max_num_seqs": serve.max_num_seqs,
        # Measured on two CPU cores: steps of one window answer a fifth more calls/s than steps of 8,192 tokens, as HTTP
        # and tokenising go on beside the shorter steps and their activations stay in the cache.
        "max_num_batched_tokens": max(serve.max_num_seqs if cpu else 8192, serve.max_model_len),
        "enable_prefix_caching": True,
        "disable_log_stats": True,
        "generation_config": "vllm",  # sample exactly as each request says, not as the weights' own file suggests
    }
    if cpu:
        engine["enforce_eager"] = True  # compiling takes longer than the small models that run here
        # A seeded request whose prompt is read in parts ends vLLM 0.29's engine: CPU generators cannot be set back.
        engine["enable_chunked_prefill"] = False
    if serve.tensor_parallel_size > 1:
        engine["tensor_parallel_size"] = serve.tensor_parallel_size
    variables = env.engine_variables(cpu=cpu, kv_cache_gib=serve.kv_cache_gib, weights=weights)
    spec: dict[str, Any] = {
        "model_loading_config": {"model_id": cfg.model, "model_source": weights},
        "accelerator_config": {"kind": serve.accelerator},
        "engine_kwargs": engine,
        "deployment_config": {
            "autoscaling_config": {"min_replicas": serve.replicas[0], "max_replicas": serve.replicas[1]},
            "max_ongoing_requests": 4 * serve.max_num_seqs,
        },
        "runtime_env": {"env_vars": variables},
        "log_engine_metrics": False,
    }
    if serve.accelerator_type is not None:
        spec["accelerator_type"] = serve.accelerator_type
    return spec


def is_direct(cfg: LLMConfig) -> bool:
    """Whether the model is served the direct way (see the module's docstring)."""
    return cfg.serve.accelerator == "cpu" and cfg.serve.replicas == (1, 1) and cfg.serve.tensor_parallel_size == 1


def deployment_names(cfg: LLMConfig) -> tuple[str, ...]:
    """Names of the deployments that `build_application` makes; those behind an ingress are Ray Serve LLM's."""
    if is_direct(cfg):
        return (DEPLOYMENT,)
    return (f"LLMServer:{cfg.model.replace('/', '--').replace('.', '_')}", "OpenAiIngress")


def require_vllm() -> None:
    """Raises UserError if vLLM is not installed."""
    if importlib.util.find_spec("vllm") is None:
        raise UserError("vLLM is not installed: pip install 'hydra-ray[cpu]' or 'hydra-ray[gpu]', or set llm.base_url")


def build_application(cfg: LLMConfig, *, cluster: bool) -> Any:
    """The Serve application for `llm.serve`. cluster: clients are on other machines too.

    Raises UserError if vLLM or the weights are missing.
    """
    require_vllm()
    spec = engine_spec(cfg)
    if not is_direct(cfg):
        from ray.serve.llm import LLMConfig as EngineConfig
        from ray.serve.llm import build_openai_app

        return build_openai_app({"llm_configs": [EngineConfig(**spec)]})
    from ray import serve

    deployment = serve.deployment(
        DirectReplica,
        name=DEPLOYMENT,
        num_replicas=1,
        # No CPU is reserved: the two cores of a small machine must be left to the tasks that call this model.
        ray_actor_options={"num_cpus": 0, "runtime_env": spec["runtime_env"]},
        health_check_timeout_s=60,
        graceful_shutdown_timeout_s=5,
    )
    return deployment.bind(spec, cfg.serve.host, cfg.serve.port, cluster)


def build_llm(args: LLMConfig) -> Any:
    """The builder for a Serve config file: `import_path: hydra_ray.llm.vllm_app:build_llm`, `args` as a run's `llm`.

    A direct replica answers on exactly `serve.host` and `serve.port`, so that callers can be configured in a file.
    Raises UserError if vLLM or the weights are missing, or `base_url` names a model that is served elsewhere.
    """
    if args.base_url is not None:
        raise UserError(f"llm.base_url={args.base_url}: this application serves `llm.serve`; leave base_url out")
    return build_application(args, cluster=False)


class DirectReplica:
    """Ray Serve LLM's own server, answering HTTP itself. Runs in the replica.

    The port is bound before the engine starts, so that a port in use is reported at once, and listened on after it
    has, so that every connected client is also answered.
    """

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, spec: dict[str, Any], host: str, port: int, cluster: bool
    ) -> None:
        import ray
        import uvicorn

        from hydra_ray.utils.loopback import stay_on_node

        stay_on_node()
        self._host = ray.util.get_node_ip_address() if cluster and host == "127.0.0.1" else host
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((self._host, port))
        self._server = _lean_server(spec)
        await self._server.start()
        app = await self._server.__serve_build_asgi_app__()
        config = uvicorn.Config(app, log_level="error", access_log=False, lifespan="off", ws="none")
        http = uvicorn.Server(config)
        http.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        self._http = asyncio.get_running_loop().create_task(http.serve(sockets=[self._socket]))

    def address(self) -> tuple[str, int]:
        """Host and port that this replica answers on."""
        return self._host, int(self._socket.getsockname()[1])

    async def check_health(self) -> None:
        """Asked by Serve: raises if the engine or the HTTP server has ended, and the replica is restarted."""
        if self._http.done():
            raise RuntimeError("the HTTP server has ended")
        await self._server.check_health()


def _lean_server(spec: dict[str, Any]) -> Any:
    """Ray's LLMServer, not started, without the steps that a local model on one CPU node does not need.

    No task that downloads weights (it is one more process that imports vLLM), the model in the engine's own process
    instead of a worker's behind it (again one import less, and no hand-over per step), and no usage report, which
    starts an actor of its own with all of Ray LLM's imports before the first request is answered.
    """
    from pathlib import Path

    from ray.llm._internal.common.callbacks.base import CallbackBase, CallbackConfig
    from ray.llm._internal.serve.core.server import llm_server
    from ray.llm._internal.serve.engines.vllm.vllm_engine import VLLMEngine
    from ray.serve.llm import LLMConfig as EngineConfig

    local = Path(spec["model_loading_config"]["model_source"]).is_dir()

    class NoDownload(CallbackBase):  # type: ignore[misc]
        async def on_before_node_init(self) -> None:
            self.ctx.run_init_node = not local

    class OneProcessEngine(VLLMEngine):  # type: ignore[misc]
        def _start_async_llm_engine(self, engine_args: Any, engine_config: Any, placement_group: Any) -> Any:
            engine_config.parallel_config.distributed_executor_backend = "uni"
            return super()._start_async_llm_engine(engine_args, engine_config, placement_group)

    config = EngineConfig(
        **spec,
        callback_config=CallbackConfig(callback_class=NoDownload),
        placement_group_config={"bundles": [{"CPU": 0.001}]},
    )
    llm_server.push_telemetry_report_for_all_models = lambda **_: None
    return llm_server.LLMServer.sync_init(config, engine_cls=OneProcessEngine)


@contextlib.contextmanager
def served_llm(cfg: LLMConfig) -> Iterator[str]:
    """Serves `llm.serve` on the running Ray cluster and yields its base URL once it has really answered.

    An application of the same weights and settings that is already running is used and left running; one that was
    started here is deleted at the end, and Serve itself with it if it was started here and serves nothing else.
    Serve is started without an HTTP proxy for a direct replica: a caller who wants a proxy as well (a gateway on the
    same cluster) calls `serve.start` before. Progress goes to stderr.

    Raises UserError: vLLM or the weights are missing, the port is in use, the engine does not start, or it does not
    answer within `llm.serve.start_timeout_s`.
    """
    from hydra_ray.llm.served_app import ServedApp

    require_vllm()
    app = ServedApp(cfg, direct=is_direct(cfg))
    try:
        yield app.start(lambda cluster: build_application(cfg, cluster=cluster))
    finally:
        app.stop()
