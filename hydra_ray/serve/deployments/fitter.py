"""The fitter: a thin shell around the loop that fits and forgets users (`hydra_ray.serve.fitter.fit_queue`)."""

import asyncio

from hydra_ray.inference.types import Component, UserKey
from hydra_ray.serve.batch_scorer import set_threads
from hydra_ray.serve.bundle import COMPONENTS, RunArtifacts
from hydra_ray.serve.clients.llm import LLMClientAdapter
from hydra_ray.serve.clients.rate_limit import of_fitter
from hydra_ray.serve.config import FitterConfig
from hydra_ray.serve.fitter.fit_queue import FitQueue
from hydra_ray.serve.fitter.training_data import Bases
from hydra_ray.serve.fitter.user_fitter import UserFitter
from hydra_ray.serve.observability import metric_names
from hydra_ray.serve.observability.logs import to_stream
from hydra_ray.serve.observability.metrics import Meters
from hydra_ray.serve.state.folders import heads_folder
from hydra_ray.serve.state.private_files import private_from_now_on
from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.utils.device import worker_device
from hydra_ray.utils.network import stay_on_node


class Fitter:
    """Fits and forgets users."""

    def __init__(self, bundle: RunArtifacts, state: ServiceState, llm_url: str, config: FitterConfig) -> None:
        to_stream()
        stay_on_node()
        private_from_now_on()
        set_threads(1)
        users = state.open_users(bundle.config.data.buckets)
        stores: dict[Component, HeadStore] = {
            component: HeadStore.open(str(heads_folder(state.folder, component)))
            for component in COMPONENTS
            if heads_folder(state.folder, component).exists()
        }
        samples = LLMClientAdapter(of_fitter(bundle.config.llm), llm_url, config.max_ongoing_requests * 8)
        self._meters = Meters("Fitter")
        self._meters.watch_llm(samples.counts, lambda: samples.up)
        bases = Bases(bundle, worker_device(config.num_gpus))
        fitter = UserFitter(bundle, samples, stores, bases=bases)
        self._fits = FitQueue(users, fitter, stores, config.max_ongoing_requests, config.vacuum_s, state, self._ended)
        self._meters.watch_gauge(metric_names.FITS_UNFINISHED, lambda: self._fits.unfinished)
        self._running = asyncio.get_event_loop().create_task(self._fits.run())

    def _ended(self, outcome: str) -> None:
        self._meters.count(metric_names.FITS, outcome=outcome)

    async def ping(self) -> None:
        """Answers."""

    async def check_health(self) -> None:
        """Asked by Serve."""
        if self._running.done():
            raise RuntimeError("the fitter's loop has ended")

    async def notify(self, user: UserKey) -> None:
        self._fits.notify(user)

    async def delete_user(self, user: UserKey) -> bool:
        return await self._fits.delete_user(user)

    async def heads(self, user: UserKey) -> dict[str, dict[str, list[float]] | None]:
        return await asyncio.to_thread(self._fits.heads, user)
