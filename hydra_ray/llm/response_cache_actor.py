"""The ledger shared over a cluster: a thin Ray actor, one per run, on the driver's node."""

import contextlib
from collections import Counter
from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from hydra_ray.config import Config
from hydra_ray.errors import UserError
from hydra_ray.llm.archived_answers import SAVE_EVERY_S, ArchivedAnswers
from hydra_ray.llm.rate_limits import Wait
from hydra_ray.llm.response_cache import FILE, LOST_AFTER_S, CallOutcome, Counts, ResponseCache
from hydra_ray.llm.retry import MOST_PATIENCE
from hydra_ray.llm.types import CachedResponse
from hydra_ray.store.archive.object_store import ObjectStore
from hydra_ray.utils.periodic import PeriodicTask

NAMESPACE = "hydra_ray"

# Handles by cluster and name, kept as long as the driver lives: an actor whose last handle is dropped ends some
# time later, and until then its name still leads to it.
_held: dict[tuple[str, str], Any] = {}


class _LedgerActor:
    """`ResponseCache`'s methods as an actor's; one call at a time."""

    def __init__(
        self,
        file: str,
        run: str,
        max_calls: int | None,
        max_cost: float | None,
        lost_after_s: float,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        archive: str | None,
    ) -> None:
        self._open = partial(
            ResponseCache,
            Path(file),
            run,
            max_calls=max_calls,
            max_cost=max_cost,
            lost_after_s=lost_after_s,
            archive=archive,
        )
        self._archived: ArchivedAnswers | None = None
        self._rates = requests_per_minute, tokens_per_minute
        self._failure: UserError | None = None
        self._lost: Counter[str] = Counter()

    @cached_property
    def _ledger(self) -> ResponseCache:
        """Opened at the first call: a UserError of a constructor would not reach the driver."""
        ledger = self._open()
        ledger.limits.configure(*self._rates)
        if ledger.archive:
            archived = ArchivedAnswers(ledger, ObjectStore(ledger.archive))
            archived.restore()
            self._archived = archived
            # It is saved once more by `save`; what fails meanwhile is tried again.
            PeriodicTask(self._save_later, SAVE_EVERY_S).start()
        return ledger

    def _save_later(self) -> None:
        with contextlib.suppress(UserError):
            self.save()

    def save(self) -> None:
        """Puts into the archive what it does not have yet. Raises UserError for what the store refuses."""
        if self._archived:
            self._archived.save()

    def begin(self) -> None:
        """A stage begins: forgets why the last one was stopped, and what it lost."""
        self._failure = None
        self._lost.clear()

    def stopped(self, failure: UserError) -> None:
        """Takes down why a worker asks nothing more. It goes on to its end, so that what is answered is written."""
        self._failure = failure

    def check(self) -> None:
        """Raises the UserError that a worker was stopped by, if one was."""
        if self._failure is not None:
            raise self._failure

    def lose(self, lost: Mapping[str, int]) -> None:
        """Tells the driver, through `lost`, which answers are missing for now: reason -> how many."""
        self._lost.update(lost)

    def lost(self) -> dict[str, int]:
        return dict(self._lost)

    def get_many(self, keys: list[str]) -> list[CachedResponse | None]:
        return self._ledger.get_many(keys)

    def exchange(self, settled: list[CallOutcome], wanted: list[float], done: int, tokens: list[float]) -> list[int]:
        return self._ledger.exchange(settled, wanted, done, tokens)

    def pause_s(self, tokens: float) -> float:
        return self._ledger.pause_s(tokens)

    def waited(self) -> Wait | None:
        return self._ledger.waited()

    def counts(self) -> Counts:
        return self._ledger.counts()

    def done(self) -> int:
        return self._ledger.done()

    def budget_message(self) -> str:
        return self._ledger.budget_message()


def response_cache_actor(
    file: Path,
    run: str,
    *,
    max_calls: int | None = None,
    max_cost: float | None = None,
    lost_after_s: float = LOST_AFTER_S,
    requests_per_minute: float | None = None,
    tokens_per_minute: float | None = None,
    archive: str | None = None,
) -> Any:
    """The ledger actor of `run`, started on the driver's node unless it is there already.

    The file stays on the driver's disk, so the actor must stay on this node. It ends with the driver. Should it die
    before, Ray restarts it and calls that were in flight count as lost until they are settled; an exchange that is then
    sent twice counts its calls once.
    """
    context = ray.get_runtime_context()
    # Of this job alone: another's would end with it. The file serves several.
    rates = (requests_per_minute, tokens_per_minute)
    name = f"ledger:{context.get_job_id()}:{file.resolve()}:{run}:{max_calls}:{max_cost}:{rates}:{archive}"
    key = (context.gcs_address, name)
    if key not in _held:
        _held[key] = _start(name, (str(file.resolve()), run, max_calls, max_cost, lost_after_s, *rates, archive))
    return _held[key]


def _start(name: str, args: tuple[Any, ...]) -> Any:
    actor = ray.remote(_LedgerActor).options(
        name=name,
        namespace=NAMESPACE,
        get_if_exists=True,
        num_cpus=0,
        max_restarts=-1,
        max_task_retries=3,
        scheduling_strategy=NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False),
    )
    return actor.remote(*args)


def run_response_cache(cfg: Config) -> Any:
    """The ledger actor of the run that `cfg` describes; its file lies in `cfg.root`, shared by all runs there."""
    return response_cache_actor(
        Path(cfg.root).expanduser() / FILE,
        cfg.name,
        max_calls=cfg.llm.max_calls,
        max_cost=cfg.llm.max_cost,
        lost_after_s=(MOST_PATIENCE + 1) * cfg.llm.timeout_s + 60,
        requests_per_minute=cfg.llm.requests_per_minute,
        tokens_per_minute=cfg.llm.tokens_per_minute,
        archive=cfg.archive,
    )
