"""The service on Ray Serve: four deployments, each a thin shell. `build` is what a Serve config file imports.

Gateway     HTTP; in front of everything
Retriever   histories and indexes, by user bucket
Scorer      encoder, reranker, adapter, heads; one batch holds pairs of many users and requests
Fitter      single users' heads in the background; one replica
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve.config import RequestRouterConfig

from hydra_ray.core.records import HistoryItem
from hydra_ray.models.vector_cache import CachedEncoder
from hydra_ray.serve import metric_names
from hydra_ray.serve.applications import FITTER, GATEWAY, RETRIEVER, SCORER
from hydra_ray.serve.bundle import MODULES, Bundle, find_run, load_bundle
from hydra_ray.serve.config import FitterConfig, GatewayConfig, Scaling, ScorerConfig, ServeConfig
from hydra_ray.serve.fits import Fits
from hydra_ray.serve.fitting import UserFitter
from hydra_ray.serve.gateway import RemoteService
from hydra_ray.serve.http.app import HttpSettings, make_app
from hydra_ray.serve.http.keys import Keys, load_keys
from hydra_ray.serve.http.logs import to_stream
from hydra_ray.serve.llm import ChatSamples
from hydra_ray.serve.meters import Meters
from hydra_ray.serve.page.router import page_router
from hydra_ray.serve.personaliser import Personaliser
from hydra_ray.serve.prepare import USERS, VACUUM_DUE, heads_folder, prepare
from hydra_ray.serve.remote import Part, RemoteRetriever, RemoteScorer
from hydra_ray.serve.retrieval import Histories
from hydra_ray.serve.scoring import MIB, BatchScorer, set_threads
from hydra_ray.serve.types import Found, Module, Scored, Scoring, UserKey, UserState
from hydra_ray.serve.users import UserStore
from hydra_ray.store.head_store import HeadStore
from hydra_ray.train.artifact import evidence_of

BATCH = 32
"""Placeholder of `ScorerConfig.batch`, which the replica sets."""

LOGGING = {"encoding": "JSON", "enable_access_log": False}
"""Of Serve's own processes: the paths of its access log hold user ids."""

STAGE_S = 5.0
"""A part that takes longer to answer counts as down."""


def state_folder(config: ServeConfig) -> Path:
    """Where the service keeps what changes."""
    if config.state:
        return Path(config.state).expanduser().resolve()
    return find_run(Path(config.root), config.run) / "serving"


class Retriever:
    """Histories and indexes. Any replica serves any user; calls of one bucket go to one replica for its cache."""

    def __init__(self, bundle: Bundle, state: Path, cache_mib: int) -> None:
        self._users = UserStore.open(state / USERS, bundle.config.data.buckets)
        encode = CachedEncoder(bundle.config.model, None) if bundle.config.retrieval.method == "dense" else None
        self._histories = Histories(
            self._users, bundle.config.retrieval, bundle.task, bundle.seed, cache_mib * MIB, encode
        )
        self._meters = Meters("Retriever")
        self._meters.watch_cache("history", self._histories)

    async def ping(self) -> None:
        """Answers."""

    async def retrieve(self, user: UserKey, query: str, n: int) -> Found:
        return await asyncio.to_thread(self._histories.found, user, query, n)

    async def append(self, user: UserKey, items: Sequence[HistoryItem]) -> UserState:
        return await asyncio.to_thread(self._users.append, user, items)

    async def state(self, user: UserKey) -> UserState | None:
        return await asyncio.to_thread(self._users.state, user)

    async def whole(self, user: UserKey) -> tuple[UserState, list[HistoryItem]] | None:
        return await asyncio.to_thread(self._users.history, user)

    async def users(self, tenant: str, prefix: str, limit: int) -> list[tuple[UserKey, UserState]]:
        return await asyncio.to_thread(self._users.users, tenant, prefix, limit)

    async def queue_fit(self, user: UserKey) -> UserState | None:
        return await asyncio.to_thread(self._users.set_fit, user, "queued")


class Scorer:
    """Scores batches."""

    def __init__(self, bundle: Bundle, state: Path, config: ScorerConfig) -> None:
        set_threads(config.threads)
        self._scorer = BatchScorer(bundle, state, config)
        self._refresh_s = config.refresh_s
        # The event loop collects the next batch while this one is scored.
        self._work = asyncio.Lock()
        self._meters = Meters("Scorer")
        if self._scorer.heads:
            self._meters.watch_cache("heads", *self._scorer.heads.values())
        if self._scorer.vectors:
            self._meters.watch_cache("vectors", self._scorer.vectors)
        self.score.set_max_batch_size(config.batch)
        self.score.set_batch_wait_timeout_s(config.batch_wait_s)
        self._scorer.score([Scoring(module, None, 0, "warm", ("up",), self._blank(module)) for module in MODULES])
        self._refreshing = asyncio.get_event_loop().create_task(self._refresh())

    def _blank(self, module: Module) -> tuple[tuple[float, ...], ...]:
        numbers = self._scorer.evidence[module]
        return ((0.0,) * numbers,) if numbers else ()

    async def ping(self) -> None:
        """Answers."""

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=0.002)  # type: ignore[untyped-decorator]
    async def score(self, scorings: list[Scoring], deadlines: list[float]) -> list[Scored | None]:
        """None for whoever's deadline has passed."""
        now = time.time()
        due = [i for i, deadline in enumerate(deadlines) if deadline > now]
        for module in MODULES:
            size = sum(scorings[i].module == module for i in due)
            if size:
                self._meters.observe(metric_names.BATCH_SIZE, size, module=module)
        async with self._work:
            scored = await asyncio.to_thread(self._scorer.score, [scorings[i] for i in due])
        found: list[Scored | None] = [None] * len(scorings)
        for i, one in zip(due, scored, strict=True):
            found[i] = one
        return found

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(self._refresh_s)
            with contextlib.suppress(Exception):  # the next look may succeed; readers keep the version they have
                async with self._work:
                    await asyncio.to_thread(self._scorer.refresh)


class Fitter:
    """Fits and forgets users."""

    def __init__(self, bundle: Bundle, state: Path, llm_url: str, config: FitterConfig) -> None:
        set_threads(1)
        users = UserStore.open(state / USERS, bundle.config.data.buckets)
        stores: dict[Module, HeadStore] = {
            module: HeadStore.open(str(heads_folder(state, module)))
            for module in MODULES
            if heads_folder(state, module).exists()
        }
        samples = ChatSamples(bundle.config.llm, llm_url, config.max_ongoing * 8)
        self._meters = Meters("Fitter")
        fitter = UserFitter(bundle, samples, stores)
        due = state / VACUUM_DUE
        self._fits = Fits(users, fitter, stores, config.max_ongoing, config.vacuum_s, due, self._ended)
        self._running = asyncio.get_event_loop().create_task(self._fits.run())

    def _ended(self, outcome: str) -> None:
        self._meters.count(metric_names.FITS, outcome=outcome)

    async def ping(self) -> None:
        """Answers."""

    async def check_health(self) -> None:
        """Asked by Serve."""
        if self._running.done():
            raise RuntimeError("the fitter's loop has ended")

    async def kick(self, user: UserKey) -> None:
        self._fits.kick(user)

    async def forget(self, user: UserKey) -> bool:
        return await self._fits.forget(user)

    async def heads(self, user: UserKey) -> dict[str, dict[str, list[float]] | None]:
        return await asyncio.to_thread(self._fits.heads, user)


class Gateway:
    """The HTTP front of one replica."""

    def __init__(
        self, bundle: Bundle, config: GatewayConfig, llm_url: str, keys: Keys, retriever: Any, scorer: Any, fitter: Any
    ) -> None:
        self._bundle, self._config, self._llm_url, self._keys = bundle, config, llm_url, keys
        buckets = bundle.config.data.buckets
        self._retriever = Part(_direct(retriever), "retriever", buckets, STAGE_S, config.deadline_s)
        self._scorer = Part(_direct(scorer), "scorer", buckets, STAGE_S, config.deadline_s)
        self._fitter = Part(fitter, "fitter", buckets, STAGE_S, config.deadline_s)

    async def __serve_build_asgi_app__(self) -> Any:  # Serve's name
        evidence = {module: evidence_of(base) for module, base in self._bundle.base.items()}
        meters = Meters("Gateway")
        samples = ChatSamples(self._bundle.config.llm, self._llm_url, self._config.llm_connections)
        meters.watch_counter(metric_names.LLM_RETRIES, lambda: samples.counts.retries)
        personaliser = Personaliser(
            self._bundle, RemoteRetriever(self._retriever), RemoteScorer(self._scorer), samples, evidence
        )
        service = RemoteService(self._bundle, personaliser, self._retriever, self._scorer, self._fitter, meters)
        settings = HttpSettings(
            body_bytes=self._config.body_bytes,
            in_flight=self._config.in_flight,
            retry_after_s=self._config.retry_after_s,
            deadline_s=self._config.deadline_s,
            keys=self._keys,
            echo_id=False,
        )
        to_stream()
        return make_app(lambda: service, settings, page_router(), meters)


def _direct(handle: Any) -> Any:
    """The handle with its calls sent straight to the replicas' own gRPC servers instead of as tasks of Ray's actors: a
    fifth less processor time in gateway and retriever. (Serve names it after what it cannot do: pass references.)
    """
    return handle.options(_by_reference=False)


def build(args: ServeConfig) -> Any:
    """The application. Raises UserError for whatever cannot be served."""
    bundle = load_bundle(find_run(Path(args.root), args.run), args.seed)
    state = state_folder(args)
    prepare(bundle, state, args.tenant, _quiet)
    llm_url = args.llm_url or bundle.config.llm.base_url
    if llm_url is None:
        llm_url = f"http://{bundle.config.llm.serve.host}:{bundle.config.llm.serve.port}/v1"
    keys = load_keys(args.keys, args.tenant if args.without_keys else None)
    retriever = _deployment(Retriever, RETRIEVER, args.retriever, affine=True).bind(
        bundle, state, args.retriever.cache_mib
    )
    scorer = _deployment(Scorer, SCORER, args.scorer, affine=True).bind(bundle, state, args.scorer)
    fitter = _deployment(Fitter, FITTER, args.fitter, affine=False).bind(bundle, state, llm_url, args.fitter)
    front = _deployment(serve.ingress()(Gateway), GATEWAY, args.gateway, affine=False)
    return front.bind(bundle, args.gateway, llm_url, keys, retriever, scorer, fitter)


def _quiet(line: str) -> None:
    """Nobody reads what a builder says."""
    del line


def _deployment(kind: Any, name: str, scaling: Scaling, *, affine: bool) -> Any:
    fewest, most = scaling.replicas
    size: dict[str, Any] = {"num_replicas": fewest}
    if most > fewest:
        size = {
            "autoscaling_config": {
                "min_replicas": fewest,
                "max_replicas": most,
                "target_ongoing_requests": scaling.target_ongoing,
                "upscale_delay_s": scaling.up_after_s,
                "downscale_delay_s": scaling.down_after_s,
            }
        }
    if affine:
        path = "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"
        size["request_router_config"] = RequestRouterConfig(request_router_class=path)
    return serve.deployment(
        kind,
        name=name,
        max_ongoing_requests=scaling.max_ongoing,
        max_queued_requests=scaling.max_queued,
        ray_actor_options={"num_cpus": scaling.num_cpus},
        logging_config=LOGGING,
        health_check_period_s=2,
        health_check_timeout_s=10,
        graceful_shutdown_timeout_s=5,
        graceful_shutdown_wait_loop_s=0.2,
        **size,
    )
