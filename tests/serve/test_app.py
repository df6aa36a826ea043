"""How replicas are replaced: new ones first, old ones finish, and of the fitter there are never two."""

import pytest

from hydra_ray.config import LLMConfig
from hydra_ray.errors import UserError
from hydra_ray.serve.app import DRAIN_S, SURGE_PERCENT, _deployment, _fitter, _own_llm_url
from hydra_ray.serve.config import HistoryServerConfig, ServeConfig
from hydra_ray.serve.deploy.applications import HISTORY_SERVER
from hydra_ray.serve.deployments.gateway import STAGE_S
from hydra_ray.serve.deployments.history_server import HistoryServer


def test_a_redeploy_loses_nothing() -> None:
    made = _deployment(HistoryServer, HISTORY_SERVER, HistoryServerConfig(), affine=True, drain_s=7.0)
    config = made._deployment_config
    assert (config.max_surge_percent, config.graceful_shutdown_timeout_s) == (SURGE_PERCENT, 7.0)
    assert 0 < SURGE_PERCENT <= 100
    assert DRAIN_S > STAGE_S


def test_without_a_database_there_are_never_two_fitters() -> None:
    assert _fitter(ServeConfig(run="r"))._deployment_config.max_surge_percent == 0
    shared = _fitter(ServeConfig(run="r", database="postgresql://host/db"))
    assert shared._deployment_config.max_surge_percent == SURGE_PERCENT


def test_where_the_runs_own_llm_answers() -> None:
    assert _own_llm_url(LLMConfig(base_url="http://llm/v1")) == "http://llm/v1"
    assert _own_llm_url(LLMConfig(serve={"port": 8321})) == "http://127.0.0.1:8321/v1"
    with pytest.raises(UserError, match="llm_url: not set, and the run's config names neither"):
        _own_llm_url(LLMConfig())
    workers = LLMConfig.model_validate({"serve": {"engine": "transformers", "source": "google/flan-t5-base"}})
    with pytest.raises(UserError, match=r"llm_url: not set, and the run's LLM, google/flan-t5-base, answered in the "):
        _own_llm_url(workers)
    assert _own_llm_url(workers.model_copy(update={"base_url": "http://llm/v1"})) == "http://llm/v1"
