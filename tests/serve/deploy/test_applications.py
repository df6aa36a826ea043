"""The applications that a Serve config file may hold."""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from hydra_ray.config import LLMApplicationConfig
from hydra_ray.llm.vllm_app import DEPLOYMENT
from hydra_ray.serve.deploy.applications import APPLICATIONS, DEPLOYMENTS
from hydra_ray.serve.deploy.config_file import check_text
from tests.serve.deploy.config_text import HYDRA, LLM, PUBLIC, _config, _message


@pytest.mark.parametrize("path", APPLICATIONS)
def test_what_is_documented_of_an_application_is_so(path: str) -> None:
    """Serve calls the builder with the arguments that its one parameter is annotated with."""
    module, _, name = path.partition(":")
    imported = importlib.import_module(module)
    (parameter,) = inspect.signature(getattr(imported, name)).parameters.values()
    assert parameter.annotation == (Mapping[str, Any] if path == PUBLIC else APPLICATIONS[path].arguments)
    if path == HYDRA:  # a deployment has its class's name
        assert all(inspect.isclass(getattr(imported, part)) for part in DEPLOYMENTS)


def test_the_public_name_is_the_same_application() -> None:
    config = _config()
    config["applications"][0]["import_path"] = PUBLIC
    assert check_text(yaml.safe_dump(config), "a.yaml") == config
    config["applications"][0]["args"]["gatway"] = {}
    assert _message(config) == "applications[0].args.gatway: unknown key; did you mean 'gateway'?"
    assert APPLICATIONS[PUBLIC] is APPLICATIONS[HYDRA]


def test_the_names_of_both_kinds_of_application() -> None:
    llm = APPLICATIONS[LLM]
    assert APPLICATIONS[HYDRA].deployments(None) == DEPLOYMENTS
    cpu = LLMApplicationConfig(serve={"port": 8199})
    assert llm.deployments(cpu) == (DEPLOYMENT,)
    gpu = LLMApplicationConfig.model_validate({"model": "org/a.b", "resources": {"num_gpus": 1}})
    assert llm.deployments(gpu) == ("LLMServer:org--a_b", "OpenAiIngress")
    assert (llm.through_proxy(cpu), llm.through_proxy(gpu)) == (False, True)
