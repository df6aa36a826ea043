"""vLLM on Ray Serve, from `llm.serve` and `resources.llm`: with `vllm_process` the one place that knows vLLM or
`ray.serve.llm`.

Two ways to serve one model, both as an application of its own, called over HTTP like any other black box:

    direct      one replica on CPU, or with LoRA adapters, which Ray Serve LLM looks for in object stores alone: vLLM's
                own server, as a child process of the replica, on a port of its own. Ray Serve starts, watches and
                restarts the replica (`hydra_ray.llm.vllm_replica`; why: docs/design/served-llm.md).
    ingress     everything else (GPU, several replicas): `build_openai_app` as it comes, behind Serve's HTTP proxy.
"""

import contextlib
import importlib.util
from collections.abc import Iterator
from typing import Any

from hydra_ray import env
from hydra_ray.config import LLMApplicationConfig, LLMConfig
from hydra_ray.config.resources import LLMResources, ray_options, worker_range
from hydra_ray.errors import UserError
from hydra_ray.llm import lora
from hydra_ray.llm.model_id import is_bundled, weights_source
from hydra_ray.llm.vllm_process import flags
from hydra_ray.utils.ray_data import alive_nodes

DEPLOYMENT = "LLM"


def engine_arguments(cfg: LLMConfig, wanted: LLMResources) -> dict[str, Any]:
    """vLLM's engine arguments for the model that `llm.serve` describes. wanted: of each replica."""
    serve = cfg.serve
    cpu = not wanted.num_gpus
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
    engine |= lora.engine_arguments(cfg)
    if wanted.num_gpus > 1:
        engine["tensor_parallel_size"] = int(wanted.num_gpus)
    return engine


def engine_variables(cfg: LLMConfig, wanted: LLMResources) -> dict[str, str]:
    """The environment of the replica and its engine. Raises UserError if the weights cannot be found."""
    weights = weights_source(cfg.serve.source)
    alone = _alone(cfg, wanted)
    variables = env.engine_variables(
        cpu=not wanted.num_gpus, alone=alone, kv_cache_gib=cfg.serve.kv_cache_gib, weights=weights
    )
    if cfg.serve.lora.folder is not None:
        variables |= env.engine_lora(cfg.serve.lora.folder)
    count = threads(cfg, wanted)
    return variables if wanted.num_gpus or count is None else variables | env.engine_threads(count)


def _alone(cfg: LLMConfig, wanted: LLMResources) -> bool:
    """Whether the model is in the process of a direct replica's engine: not where several GPUs share it."""
    return cfg.is_direct(wanted) and wanted.num_gpus <= 1


def threads(cfg: LLMConfig, wanted: LLMResources) -> int | None:
    """How many threads a replica on CPU computes on; None: as many as the node it lands on has cores."""
    bundled = 1 if is_bundled(cfg.serve.source) else None
    return cfg.serve.threads or bundled or int(wanted.num_cpus) or None


def server_arguments(cfg: LLMConfig, wanted: LLMResources) -> list[str]:
    """The command line of vLLM's own server, without its address. Raises UserError if the weights cannot be found."""
    quiet = {"disable_uvicorn_access_log": True, "uvicorn_log_level": "error"}
    # With ENGINE_ALONE of `hydra_ray.env`: the model in the engine's process instead of a worker's behind it, which is
    # one process less that imports vLLM, and no hand-over per step.
    alone = {"distributed_executor_backend": "uni"} if _alone(cfg, wanted) else {}
    model = {"model": weights_source(cfg.serve.source), "served_model_name": cfg.model}
    return flags({**model, **engine_arguments(cfg, wanted), **alone, **quiet})


def engine_spec(cfg: LLMConfig, wanted: LLMResources, replicas: tuple[int, int]) -> dict[str, Any]:
    """The arguments of Ray's `LLMConfig` for the model that `llm.serve` describes. replicas: fewest and most.

    Raises UserError if the weights cannot be found.
    """
    serve = cfg.serve
    options = ray_options(wanted)
    spec: dict[str, Any] = {
        "model_loading_config": {"model_id": cfg.model, "model_source": weights_source(serve.source)},
        "accelerator_config": {"kind": "gpu" if wanted.num_gpus else "cpu"},
        "engine_kwargs": engine_arguments(cfg, wanted),
        "deployment_config": {
            "autoscaling_config": {"min_replicas": replicas[0], "max_replicas": replicas[1]},
            "max_ongoing_requests": 4 * serve.max_num_seqs,
        },
        "runtime_env": {"env_vars": engine_variables(cfg, wanted)},
        "log_engine_metrics": False,
    }
    if "accelerator_type" in options:
        spec["accelerator_type"] = options["accelerator_type"]
    bundles = bundles_per_gpu(wanted)
    if bundles:
        spec["placement_group_config"] = {"bundles": bundles}
    return spec


def bundles_per_gpu(wanted: LLMResources) -> list[dict[str, float]]:
    """What a replica's engine reserves, one bundle for each GPU, where that is not what Ray Serve LLM reserves by
    itself (a GPU and a CPU each): a share of a GPU, CPUs or custom resources."""
    if float(wanted.num_gpus).is_integer() and not wanted.num_cpus and not wanted.resources:
        return []
    count = max(1, int(wanted.num_gpus))
    whole = {"CPU": wanted.num_cpus or float(count), "GPU": wanted.num_gpus, **wanted.resources}
    return [{name: amount / count for name, amount in whole.items() if amount}] * count


def deployment_names(args: LLMApplicationConfig) -> tuple[str, ...]:
    """Names of the deployments that `build_application` makes; those behind an ingress are Ray Serve LLM's."""
    if args.is_direct(args.resources):
        return (DEPLOYMENT,)
    return (f"LLMServer:{args.model.replace('/', '--').replace('.', '_')}", "OpenAiIngress")


def require_vllm() -> None:
    """Raises UserError if vLLM is not installed."""
    if importlib.util.find_spec("vllm") is None:
        raise UserError("vLLM is not installed: in the clone, pip install -e '.[cpu]' or '.[gpu]', or set llm.base_url")


def build_application(cfg: LLMConfig, wanted: LLMResources, *, cluster: bool, port: int | None) -> Any:
    """The Serve application for `llm.serve`. cluster: clients are on other machines too. port: of a direct replica.

    Raises UserError if vLLM or the weights are missing.
    """
    require_vllm()
    if not cfg.is_direct(wanted):
        from ray.serve.llm import LLMConfig as EngineConfig
        from ray.serve.llm import build_openai_app

        replicas = worker_range(wanted, alive_nodes)
        return build_openai_app({"llm_configs": [EngineConfig(**engine_spec(cfg, wanted, replicas))]})
    from ray import serve

    from hydra_ray.llm.vllm_replica import VllmReplica

    deployment = serve.deployment(
        VllmReplica,
        name=DEPLOYMENT,
        num_replicas=1,
        # By default no CPU is reserved: a small machine's cores must be left to the tasks that call this model.
        ray_actor_options={**ray_options(wanted), "runtime_env": {"env_vars": engine_variables(cfg, wanted)}},
        health_check_timeout_s=60,
        graceful_shutdown_timeout_s=5,
    )
    return deployment.bind(server_arguments(cfg, wanted), cfg.serve.host, port, cluster, threads(cfg, wanted))


def build_llm(args: LLMApplicationConfig) -> Any:
    """The builder for a Serve config file: `import_path: hydra_ray.llm.vllm_app:build_llm`, `args` as a run's `llm`
    with `resources` as its `resources.llm`.

    A direct replica answers on exactly `serve.host` and `serve.port`, so that callers can be configured in a file.
    Raises UserError if vLLM or the weights are missing, or `base_url` names a model that is served elsewhere.
    """
    if args.base_url is not None:
        raise UserError(f"llm.base_url={args.base_url}: this application serves `llm.serve`; leave base_url out")
    return build_application(args, args.resources, cluster=False, port=args.serve.port)


@contextlib.contextmanager
def served_llm(cfg: LLMConfig, wanted: LLMResources | None = None, *, joined: bool = False) -> Iterator[str]:
    """Serves `llm.serve` on the running Ray cluster and yields its base URL once it has really answered. wanted: the
    replicas (None: one on the CPU). joined: the cluster is not the caller's own and may grow by nodes that
    must reach the model, too.

    An application of the same weights and settings that is already running is used and left running; one that was
    started here is deleted at the end, and Serve itself with it if it was started here and serves nothing else.
    Serve is started without an HTTP proxy for a direct replica: a caller who wants a proxy as well (a gateway on the
    same cluster) calls `serve.start` before. Progress goes to stderr.

    Raises UserError: vLLM or the weights are missing, the port is in use, the engine does not start, or it does not
    answer within `llm.serve.start_timeout_s`.
    """
    from hydra_ray.llm.served_app import ServedApp

    require_vllm()
    wanted = wanted or LLMResources()
    app = ServedApp(cfg, wanted, direct=cfg.is_direct(wanted), joined=joined)
    try:
        yield app.start(lambda cluster, port: build_application(cfg, wanted, cluster=cluster, port=port))
    finally:
        app.stop()
