"""The service on Ray Serve: the four of `hydra_ray.serve.deployments`. `build_app` is what a Serve config file imports.

Serve pickles a class as a reference to its module: a replica imports that one, and not this one.
"""

from pathlib import Path
from typing import Any

from ray import serve
from ray.serve.config import RequestRouterConfig

from hydra_ray.config import LLMConfig
from hydra_ray.config.resources import ray_options
from hydra_ray.errors import UserError
from hydra_ray.serve.bundle import find_run, load_run_artifacts
from hydra_ray.serve.config import Scaling, ServeConfig, check_served
from hydra_ray.serve.deploy.applications import FITTER, GATEWAY, HISTORY_SERVER, SCORER
from hydra_ray.serve.deployments.fitter import Fitter
from hydra_ray.serve.deployments.gateway import Gateway
from hydra_ray.serve.deployments.history_server import HistoryServer
from hydra_ray.serve.deployments.scorer import Scorer
from hydra_ray.serve.http.key_file import load_keys
from hydra_ray.serve.http.route_context import GRACE_S
from hydra_ray.serve.state.init_state import init_state
from hydra_ray.serve.state.location import state_of
from hydra_ray.training.artifacts.trained_scorer import base_feature_width
from hydra_ray.utils.tracing import check_tracing

LOGGING = {"encoding": "JSON", "enable_access_log": False}
"""Of Serve's own processes: the paths of its access log hold user ids."""

DRAIN_S = 10.0
"""For parts behind the gateway, each of whose calls takes STAGE_S at most."""

SURGE_PERCENT = 25
"""Share of a deployment's replicas, at least one, that a redeploy may start before it stops old ones."""


def build_app(args: ServeConfig) -> Any:
    """The application. Raises UserError for whatever cannot be served."""
    if args.traces:
        check_tracing()
    bundle = load_run_artifacts(find_run(Path(args.root), args.run), args.seed)
    llm_url = args.llm_url or _own_llm_url(bundle.config.llm)
    state = state_of(args)
    init_state(bundle, state, args.tenant, _quiet)
    feature_widths = {component: base_feature_width(base) for component, base in bundle.base.items()}
    keys = load_keys(args.keys, args.tenant if args.allow_anonymous else None, stored=args.keys_in_database)
    history_server = _deployment(HistoryServer, HISTORY_SERVER, args.history_server, affine=True, drain_s=DRAIN_S).bind(
        bundle, state, args.history_server.cache_mib, args.traces
    )
    scorer = _deployment(Scorer, SCORER, args.scorer, affine=True, drain_s=DRAIN_S).bind(
        bundle, state, args.scorer, args.traces
    )
    fitter = _fitter(args).bind(bundle, state, llm_url, args.fitter)
    drain_s = args.gateway.deadline_s + GRACE_S + 1
    front = _deployment(serve.ingress()(Gateway), GATEWAY, args.gateway, affine=False, drain_s=drain_s)
    key_file = str(Path(args.keys).expanduser().absolute()) if args.keys else None
    where = (keys, key_file, args.keys_in_database)
    parts = (history_server, scorer, fitter)
    return front.bind(bundle, feature_widths, args.gateway, llm_url, *where, state, *parts, args.traces)


def _fitter(args: ServeConfig) -> Any:
    return _deployment(Fitter, FITTER, args.fitter, affine=False, drain_s=DRAIN_S, alone=args.one_fitter)


def _quiet(line: str) -> None:
    """A builder's output is not shown."""
    del line


def _deployment(kind: Any, name: str, scaling: Scaling, *, affine: bool, drain_s: float, alone: bool = False) -> Any:
    """drain_s: how long a replica that is to go may take to finish what it works on. alone: never two at a time."""
    fewest, most = scaling.replicas
    size: dict[str, Any] = {"num_replicas": fewest}
    if most > fewest:
        size = {
            "autoscaling_config": {
                "min_replicas": fewest,
                "max_replicas": most,
                "target_ongoing_requests": scaling.target_ongoing_requests,
                "look_back_period_s": scaling.look_back_period_s,
                "upscale_delay_s": scaling.upscale_delay_s,
                "downscale_delay_s": scaling.downscale_delay_s,
            }
        }
    if affine:
        path = "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"
        size["request_router_config"] = RequestRouterConfig(request_router_class=path)
    return serve.deployment(
        kind,
        name=name,
        max_ongoing_requests=scaling.max_ongoing_requests,
        max_queued_requests=scaling.max_queued_requests,
        ray_actor_options=ray_options(scaling),
        logging_config=LOGGING,
        health_check_period_s=2,
        health_check_timeout_s=10,
        graceful_shutdown_timeout_s=drain_s,
        graceful_shutdown_wait_loop_s=0.2,
        max_surge_percent=0 if alone else SURGE_PERCENT,
        **size,
    )


def _own_llm_url(cfg: LLMConfig) -> str:
    """Where the LLM of the run's config answers."""
    if cfg.base_url is not None:
        return cfg.base_url
    check_served(cfg)
    if cfg.serve.port is None:
        raise UserError("llm_url: not set, and the run's config names neither llm.base_url nor llm.serve.port: "
                        "set it to the LLM's address, such as http://127.0.0.1:8199/v1")  # fmt: skip
    return f"http://{cfg.serve.host}:{cfg.serve.port}/v1"
