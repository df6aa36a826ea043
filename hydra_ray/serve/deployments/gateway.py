"""The gateway: the HTTP front, put together from the parts that make an answer."""

from collections.abc import Mapping
from typing import Any

from hydra_ray.inference.pipeline import InferencePipeline
from hydra_ray.inference.prompt_builder import PromptBuilder
from hydra_ray.inference.types import Component
from hydra_ray.serve.bundle import RunArtifacts
from hydra_ray.serve.clients.deployments import RemoteDeployment, RemoteRetriever, RemoteScorer
from hydra_ray.serve.clients.llm import LLMClientAdapter
from hydra_ray.serve.clients.llm_readiness import LLMReadiness
from hydra_ray.serve.clients.rate_limit import of_gateway
from hydra_ray.serve.config import GatewayConfig
from hydra_ray.serve.http.app import HttpSettings, make_app
from hydra_ray.serve.http.keys import Keys
from hydra_ray.serve.observability.logs import to_stream
from hydra_ray.serve.observability.metrics import Meters
from hydra_ray.serve.remote_service import RemoteService
from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.serve.ui.router import page_router
from hydra_ray.utils.network import stay_on_node
from hydra_ray.utils.tracing import start_tracing

STAGE_S = 5.0
"""A part that takes longer to answer counts as down."""


class Gateway:
    """The HTTP front of one replica."""

    def __init__(
        self,
        bundle: RunArtifacts,
        feature_widths: Mapping[Component, int],
        config: GatewayConfig,
        llm_url: str,
        keys: Keys,
        key_file: str | None,
        keys_in_database: bool,
        state: ServiceState,
        history_server: Any,
        scorer: Any,
        fitter: Any,
        traces: bool = False,
    ) -> None:
        """key_file: of `keys`, seen by this node, too. keys_in_database: they are there, and `keys` are none. state:
        the service's. feature_widths: how many features per
        text each component reads. traces: whether requests have spans."""
        if traces:
            start_tracing()
        self._traces = traces
        self._bundle, self._feature_widths, self._config, self._llm_url, self._keys = (
            bundle,
            feature_widths,
            config,
            llm_url,
            keys,
        )
        stay_on_node()
        self._key_file, self._keys_in_database, self._state = key_file, keys_in_database, state
        buckets = bundle.config.data.buckets
        self._history_server = RemoteDeployment(
            _direct(history_server), "history server", buckets, STAGE_S, config.deadline_s
        )
        self._scorer = RemoteDeployment(_direct(scorer), "scorer", buckets, STAGE_S, config.deadline_s)
        self._fitter = RemoteDeployment(fitter, "fitter", buckets, STAGE_S, config.deadline_s)

    async def __serve_build_asgi_app__(self) -> Any:  # Serve's name
        meters = Meters("Gateway")
        llm = of_gateway(self._bundle.config.llm, self._config.replicas[1])
        samples = LLMClientAdapter(llm, self._llm_url, self._config.llm_connections)
        meters.watch_llm(samples.counts, lambda: samples.up)
        inference = InferencePipeline(
            PromptBuilder(self._bundle.config, self._bundle.seed),
            RemoteRetriever(self._history_server),
            RemoteScorer(self._scorer),
            samples,
            self._feature_widths,
            run=self._bundle.name,
        )
        service = RemoteService(
            self._bundle,
            inference,
            self._history_server,
            self._scorer,
            self._fitter,
            LLMReadiness(samples),
            meters,
            samples,
        )
        settings = HttpSettings(
            body_bytes=self._config.max_body_bytes,
            in_flight=self._config.max_concurrent_requests,
            retry_after_s=self._config.retry_after_s,
            deadline_s=self._config.deadline_s,
            keys=self._keys,
            echo_id=False,
            key_file=self._key_file,
            read_keys=self._state.open_keys().read if self._keys_in_database else None,
            usage=self._state.open_usage(),
            allowed_hosts=self._config.allowed_hosts,
            user_header=self._config.user_header,
            traces=self._traces,
        )
        to_stream()
        return make_app(lambda: service, settings, page_router(), meters)


def _direct(handle: Any) -> Any:
    """The handle with its calls sent straight to the replicas' own gRPC servers instead of as tasks of Ray's actors: a
    fifth less processor time in gateway and history server. (Serve names it after what it cannot do: pass references.)
    """
    return handle.options(_by_reference=False)
