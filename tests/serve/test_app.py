"""How replicas are replaced: new ones first, old ones finish, and of the fitter there are never two."""

from hydra_ray.serve.app import DRAIN_S, SURGE_PERCENT, _deployment
from hydra_ray.serve.config import FitterConfig, HistoryServerConfig
from hydra_ray.serve.deploy.applications import FITTER, HISTORY_SERVER
from hydra_ray.serve.deployments.fitter import Fitter
from hydra_ray.serve.deployments.gateway import STAGE_S
from hydra_ray.serve.deployments.history_server import HistoryServer


def test_a_redeploy_loses_nothing() -> None:
    made = _deployment(HistoryServer, HISTORY_SERVER, HistoryServerConfig(), affine=True, drain_s=7.0)
    config = made._deployment_config
    assert (config.max_surge_percent, config.graceful_shutdown_timeout_s) == (SURGE_PERCENT, 7.0)
    assert 0 < SURGE_PERCENT <= 100
    assert DRAIN_S > STAGE_S


def test_there_are_never_two_fitters() -> None:
    made = _deployment(Fitter, FITTER, FitterConfig(), affine=False, drain_s=7.0)
    assert made._deployment_config.max_surge_percent == 0
