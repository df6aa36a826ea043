"""A Serve config file as text, and what its mistakes are called."""

from typing import Any

import pytest
import yaml

from hydra_ray.errors import UserError
from hydra_ray.serve.deploy.config_file import check_text

HYDRA, PUBLIC, LLM = "hydra_ray.serve.app:build_app", "hydra_ray:build_app", "hydra_ray.llm.vllm_app:build_llm"


def _config() -> dict[str, Any]:
    deployments = [{"name": "Gateway", "max_queued_requests": 9}, {"name": "Scorer", "num_replicas": 2}]
    hydra = {"name": "hydra", "import_path": HYDRA, "args": {"run": "x", "gateway": {}}, "deployments": deployments}
    llm = {"name": "llm", "route_prefix": None, "import_path": LLM, "args": {"serve": {"port": 8199}}}
    return {"http_options": {"host": "127.0.0.1"}, "applications": [hydra, llm]}


def _message(config: Any) -> str:
    text = config if isinstance(config, str) else yaml.safe_dump(config)
    with pytest.raises(UserError) as caught:
        check_text(text, "a.yaml")
    message = str(caught.value)
    assert message.startswith("a.yaml: ")
    assert "\n" not in message
    return message.removeprefix("a.yaml: ")
