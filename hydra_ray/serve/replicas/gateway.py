"""The gateway: the HTTP front, put together from the parts that make an answer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra_ray.serve.bundle import Bundle
from hydra_ray.serve.config import GatewayConfig
from hydra_ray.serve.gateway import RemoteService
from hydra_ray.serve.http.app import HttpSettings, make_app
from hydra_ray.serve.http.keys import Keys
from hydra_ray.serve.llm import ChatSamples
from hydra_ray.serve.llm_ready import LLMReadiness
from hydra_ray.serve.logs import to_stream
from hydra_ray.serve.loopback import stay_on_node
from hydra_ray.serve.meters import Meters
from hydra_ray.serve.page.router import page_router
from hydra_ray.serve.personaliser import Personaliser
from hydra_ray.serve.rate_limit import of_gateway
from hydra_ray.serve.remote import Part, RemoteRetriever, RemoteScorer
from hydra_ray.serve.types import Module

STAGE_S = 5.0
"""A part that takes longer to answer counts as down."""


class Gateway:
    """The HTTP front of one replica."""

    def __init__(
        self,
        bundle: Bundle,
        evidence: Mapping[Module, int],
        config: GatewayConfig,
        llm_url: str,
        keys: Keys,
        key_file: str | None,
        state: Path,
        retriever: Any,
        scorer: Any,
        fitter: Any,
    ) -> None:
        """key_file: of `keys`, seen by this node, too. state: the service's. evidence: how many numbers of evidence per
        text each module reads."""
        self._bundle, self._evidence, self._config, self._llm_url, self._keys = bundle, evidence, config, llm_url, keys
        stay_on_node()
        self._key_file, self._state = key_file, state
        buckets = bundle.config.data.buckets
        self._retriever = Part(_direct(retriever), "retriever", buckets, STAGE_S, config.deadline_s)
        self._scorer = Part(_direct(scorer), "scorer", buckets, STAGE_S, config.deadline_s)
        self._fitter = Part(fitter, "fitter", buckets, STAGE_S, config.deadline_s)

    async def __serve_build_asgi_app__(self) -> Any:  # Serve's name
        meters = Meters("Gateway")
        llm = of_gateway(self._bundle.config.llm, self._config.replicas[1])
        samples = ChatSamples(llm, self._llm_url, self._config.llm_connections)
        meters.watch_llm(samples.counts)
        personaliser = Personaliser(
            self._bundle, RemoteRetriever(self._retriever), RemoteScorer(self._scorer), samples, self._evidence
        )
        service = RemoteService(
            self._bundle, personaliser, self._retriever, self._scorer, self._fitter, LLMReadiness(samples), meters
        )
        settings = HttpSettings(
            body_bytes=self._config.body_bytes,
            in_flight=self._config.in_flight,
            retry_after_s=self._config.retry_after_s,
            deadline_s=self._config.deadline_s,
            keys=self._keys,
            echo_id=False,
            key_file=self._key_file,
            usage=self._state,
            allowed_hosts=self._config.allowed_hosts,
            user_header=self._config.user_header,
        )
        to_stream()
        return make_app(lambda: service, settings, page_router(), meters)


def _direct(handle: Any) -> Any:
    """The handle with its calls sent straight to the replicas' own gRPC servers instead of as tasks of Ray's actors: a
    fifth less processor time in gateway and retriever. (Serve names it after what it cannot do: pass references.)
    """
    return handle.options(_by_reference=False)
