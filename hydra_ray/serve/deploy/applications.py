"""The applications that a Serve config file may hold: their import paths, arguments and deployments, in one place."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from hydra_ray.config import LLMApplicationConfig, Section
from hydra_ray.llm.vllm_app import deployment_names
from hydra_ray.serve.config import ServeConfig
from hydra_ray.serve.state.postgres.driver import shown

GATEWAY = "Gateway"
HISTORY_SERVER = "HistoryServer"
SCORER = "Scorer"
FITTER = "Fitter"
DEPLOYMENTS = (GATEWAY, HISTORY_SERVER, SCORER, FITTER)
"""Of the personalised service, as `hydra_ray.serve.app:build_app` names them."""


class Application(NamedTuple):
    """What is known of an application without building it.

    arguments: schema of `args`. deployments: their names, for given arguments. through_proxy: whether clients reach it
    through Serve's HTTP proxy, so that it needs a route prefix (else it must have none). paths: keys of `args` that are
    paths. about: what is served from where, in words. ready: the path, below the route prefix, that says 200 once it
    answers. alone: deployments of one replica, for given arguments, whatever the load.
    """

    arguments: type[Section]
    deployments: Callable[[Any], tuple[str, ...]]
    through_proxy: Callable[[Any], bool]
    paths: tuple[tuple[str, ...], ...]
    about: Callable[[Any], str]
    ready: str
    alone: Callable[[Any], tuple[str, ...]] = lambda _: ()


def _about_service(args: ServeConfig) -> str:
    root = "" if Path(args.run).is_absolute() else f", root {args.root}"
    state = f", users and heads in {args.state}" if args.state else ""
    database = f", users in {shown(args.database)}" if args.database else ""
    return f"run {args.run}{root}{state}{database}"


_SERVICE = Application(
    ServeConfig,
    lambda _: DEPLOYMENTS,
    lambda _: True,
    (("root",), ("run",), ("state",), ("keys",)),
    _about_service,
    "/readyz",
    lambda args: (FITTER,) if args.one_fitter else (),
)
APPLICATIONS = {
    "hydra_ray:build_app": _SERVICE,
    "hydra_ray.serve.app:build_app": _SERVICE,
    "hydra_ray.llm.vllm_app:build_llm": Application(
        LLMApplicationConfig,
        deployment_names,
        lambda args: not args.is_direct(args.resources),
        (("serve", "source"),),
        lambda args: f"model {args.model}, weights {args.serve.source}",
        "/v1/models",
    ),
}
"""By import path, as the config file writes it."""
