"""The applications that a Serve config file may hold: their import paths, arguments and deployments, in one place."""

from collections.abc import Callable
from typing import Any, NamedTuple

from hydra_ray.config import LLMConfig, Section
from hydra_ray.llm.serving import deployment_names, is_direct
from hydra_ray.serve.config import ServeConfig

GATEWAY = "Gateway"
RETRIEVER = "Retriever"
SCORER = "Scorer"
FITTER = "Fitter"
DEPLOYMENTS = (GATEWAY, RETRIEVER, SCORER, FITTER)
"""Of the personalised service, as `hydra_ray.serve.deployments:build` names them."""


class Application(NamedTuple):
    """What is known of an application without building it.

    arguments: schema of `args`. deployments: their names, for given arguments. through_proxy: whether clients reach it
    through Serve's HTTP proxy, so that it needs a route prefix (else it must have none). alone: deployments of one
    replica, whatever the load.
    """

    arguments: type[Section]
    deployments: Callable[[Any], tuple[str, ...]]
    through_proxy: Callable[[Any], bool]
    alone: tuple[str, ...] = ()


APPLICATIONS = {
    "hydra_ray.serve.deployments:build": Application(ServeConfig, lambda _: DEPLOYMENTS, lambda _: True, (FITTER,)),
    "hydra_ray.llm.serving:build_llm": Application(LLMConfig, deployment_names, lambda args: not is_direct(args)),
}
"""By import path, as the config file writes it."""
