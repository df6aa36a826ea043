"""vLLM on Ray Serve, from `llm.serve`: with `vllm_process` the one place that knows vLLM or `ray.serve.llm`.

Two ways to serve one model, both as an application of its own, called over HTTP like any other black box:

    direct      one replica on CPU: vLLM's own server, as a child process of the replica, on a port of its own. Ray
                Serve starts, watches and restarts the replica (`hydra_ray.llm.vllm_replica`; why:
                docs/design/served-llm.md).
    ingress     everything else (GPU, several replicas): `build_openai_app` as it comes, behind Serve's HTTP proxy.
"""

import contextlib
import importlib.util
from collections.abc import Iterator
from typing import Any

from hydra_ray import env
from hydra_ray.config import LLMConfig
from hydra_ray.errors import UserError
from hydra_ray.llm.model_id import weights_source
from hydra_ray.llm.vllm_process import flags

DEPLOYMENT = "LLM"


def engine_arguments(cfg: LLMConfig) -> dict[str, Any]:
    """vLLM's engine arguments for the model that `llm.serve` describes."""
    serve = cfg.serve
    cpu = serve.accelerator == "cpu"
    engine: dict[str, Any] = {
        "dtype": serve.dtype,
        "max_model_len": serve.max_model_len,
        "max_num_seqs": serve.max_num_seqs,
        # Measured on two CPU cores: steps of one window answer a fifth more calls/s than steps of 8,192 tokens, as HTTP
        # and tokenising go on alongside the shorter steps and their activations stay in the cache.
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
    return engine


def engine_variables(cfg: LLMConfig) -> dict[str, str]:
    """The environment of the replica and its engine. Raises UserError if the weights cannot be found."""
    weights = weights_source(cfg.serve.source)
    cpu = cfg.serve.accelerator == "cpu"
    return env.engine_variables(cpu=cpu, alone=is_direct(cfg), kv_cache_gib=cfg.serve.kv_cache_gib, weights=weights)


def server_arguments(cfg: LLMConfig) -> list[str]:
    """The command line of vLLM's own server, without its address. Raises UserError if the weights cannot be found."""
    quiet = {"disable_uvicorn_access_log": True, "uvicorn_log_level": "error"}
    # With ENGINE_ALONE of `hydra_ray.env`: the model in the engine's process instead of a worker's behind it, which is
    # one process less that imports vLLM, and no hand-over per step.
    alone = {"distributed_executor_backend": "uni"}
    model = {"model": weights_source(cfg.serve.source), "served_model_name": cfg.model}
    return flags({**model, **engine_arguments(cfg), **alone, **quiet})


def engine_spec(cfg: LLMConfig) -> dict[str, Any]:
    """The arguments of Ray's `LLMConfig` for the model that `llm.serve` describes.

    Raises UserError if the weights cannot be found.
    """
    serve = cfg.serve
    spec: dict[str, Any] = {
        "model_loading_config": {"model_id": cfg.model, "model_source": weights_source(serve.source)},
        "accelerator_config": {"kind": serve.accelerator},
        "engine_kwargs": engine_arguments(cfg),
        "deployment_config": {
            "autoscaling_config": {"min_replicas": serve.replicas[0], "max_replicas": serve.replicas[1]},
            "max_ongoing_requests": 4 * serve.max_num_seqs,
        },
        "runtime_env": {"env_vars": engine_variables(cfg)},
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
    if not is_direct(cfg):
        from ray.serve.llm import LLMConfig as EngineConfig
        from ray.serve.llm import build_openai_app

        return build_openai_app({"llm_configs": [EngineConfig(**engine_spec(cfg))]})
    from ray import serve

    from hydra_ray.llm.vllm_replica import VllmReplica

    deployment = serve.deployment(
        VllmReplica,
        name=DEPLOYMENT,
        num_replicas=1,
        # No CPU is reserved: the two cores of a small machine must be left to the tasks that call this model.
        ray_actor_options={"num_cpus": 0, "runtime_env": {"env_vars": engine_variables(cfg)}},
        health_check_timeout_s=60,
        graceful_shutdown_timeout_s=5,
    )
    return deployment.bind(server_arguments(cfg), cfg.serve.host, cfg.serve.port, cluster)


def build_llm(args: LLMConfig) -> Any:
    """The builder for a Serve config file: `import_path: hydra_ray.llm.vllm_app:build_llm`, `args` as a run's `llm`.

    A direct replica answers on exactly `serve.host` and `serve.port`, so that callers can be configured in a file.
    Raises UserError if vLLM or the weights are missing, or `base_url` names a model that is served elsewhere.
    """
    if args.base_url is not None:
        raise UserError(f"llm.base_url={args.base_url}: this application serves `llm.serve`; leave base_url out")
    return build_application(args, cluster=False)


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
