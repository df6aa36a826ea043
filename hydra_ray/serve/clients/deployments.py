"""The parts of the service as the gateway calls them: handles of Ray Serve behind the protocols of `types`."""

import asyncio
import logging
import time
from typing import Any, TypeVar

import grpc
from ray.exceptions import RayError, RayTaskError, TaskCancelledError
from ray.serve.exceptions import BackPressureError, RayServeException

from hydra_ray.core.hashing import bucket_of
from hydra_ray.errors import UserError
from hydra_ray.inference.types import (
    DeadlineError,
    OverloadedError,
    RetrievalResult,
    ScoreRequest,
    ScoreResult,
    StageDownError,
    UserKey,
)
from hydra_ray.serve.clients.circuit_breaker import CircuitBreaker, CircuitOpenError
from hydra_ray.serve.state.users import NotStoredError
from hydra_ray.utils.ray_errors import find_user_error
from hydra_ray.utils.tracing import traceparent

T = TypeVar("T")

logger = logging.getLogger(__name__)

REPLACED_S = 1.0
"""How long another replica may take where one has died, or where all were down lately: one that is there is faster."""

BREAK_AFTER = 3
INSIST = 3
"""Attempts of a call that insists: a replica is not expected to die more often meanwhile."""


class RemoteDeployment:
    """One deployment.

    longest_s: how long a call may take before the part counts as down. After BREAK_AFTER failures in a row, calls fail
    at once, but for a probe now and then (see `breaker`): what is down costs an answer no time. patience_s: of calls
    that wait until a dead replica has been replaced.
    """

    def __init__(self, handle: Any, name: str, buckets: int, longest_s: float, patience_s: float) -> None:
        self._handle, self._name, self._buckets = handle, name, buckets
        self._longest_s, self._patience_s = longest_s, patience_s
        self._breaker = CircuitBreaker(BREAK_AFTER)

    async def call(
        self, method: str, *args: Any, affine: str = "", deadline: float = float("inf"), tries: int = 1
    ) -> Any:
        """The method's answer. affine: stored id of the user it is about: the same replica serves a bucket as long as
        there are as many. tries: attempts if the replica dies meanwhile; only for what may be done twice.

        Raises OverloadedError, DeadlineError, StageDownError.
        """
        try:
            probe = self._breaker.admit()
        except CircuitOpenError:
            raise StageDownError(f"{self._name}: the last calls failed; none is made for a moment") from None
        try:
            longest_s = REPLACED_S if probe else self._longest_s
            answer = await self._tried(method, args, affine, deadline, tries, longest_s, REPLACED_S)
        except _FailedError as error:
            # An answer that is an error is an answer.
            self._breaker.succeeded() if error.alive else self._breaker.failed(probe)
            raise StageDownError(str(error)) from None
        except BaseException:
            self._breaker.abandoned(probe)
            raise
        self._breaker.succeeded()
        return answer

    async def insist(self, method: str, *args: Any, affine: str = "") -> Any:
        """Likewise for what may be done twice and cannot be left out: waits for a new replica if there is none."""
        try:
            return await self._tried(method, args, affine, float("inf"), INSIST, self._patience_s, self._patience_s)
        except _FailedError as error:
            raise StageDownError(str(error)) from None

    async def _tried(
        self, method: str, args: Any, affine: str, deadline: float, tries: int, longest_s: float, then_s: float
    ) -> Any:
        """longest_s: of the first attempt; then_s: of each after it."""
        for attempt in range(1, tries + 1):
            left = deadline - time.time()
            if left <= 0:
                raise DeadlineError("the deadline has passed")
            handle = self._handle
            if affine:
                handle = handle.options(session_id=str(bucket_of(affine, self._buckets)))
            response = getattr(handle, method).remote(*args)
            allowed_s = longest_s if attempt == 1 else then_s
            try:
                return await asyncio.wait_for(_answer(response), min(left, allowed_s))
            except TimeoutError:
                if time.time() >= deadline:
                    raise DeadlineError("the deadline has passed") from None
                raise _FailedError(f"{self._name}: no answer within {allowed_s:g} s") from None
            except BackPressureError:
                raise OverloadedError from None
            except (StageDownError, OverloadedError, DeadlineError):
                raise
            except (RayTaskError, TaskCancelledError) as error:
                raise self._failed(error, alive=True) from None
            except (RayError, RayServeException, grpc.RpcError) as error:
                if attempt == tries:
                    raise self._failed(error) from None
            except Exception as error:
                # Over gRPC the part's own errors come as they are.
                raise self._failed(error, alive=True) from None
        raise AssertionError("unreachable")

    def _failed(self, error: BaseException, alive: bool = False) -> "_FailedError":
        """What clients may read of an error; files and machines that it names are for the log alone."""
        cause = find_user_error(error) or getattr(error, "cause", None) or error
        logger.warning("%s: %s", self._name, _first_line(cause))
        if isinstance(cause, NotStoredError):
            return _FailedError(f"{self._name}: it cannot store anything now; the service's log says why", alive)
        return _FailedError(f"{self._name}: it failed ({type(cause).__name__}); the service's log says why", alive)


class _FailedError(Exception):
    """alive: the part answered, though with an error."""

    def __init__(self, why: str, alive: bool = False) -> None:
        super().__init__(why)
        self.alive = alive


async def _answer(response: Any) -> Any:
    """Awaits a DeploymentResponse; a caller that is cancelled cancels it."""
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()
        raise


_WORDED = (UserError, RayError, RayServeException, grpc.RpcError)
"""Errors whose words are ours or Ray's; others, defects, may quote a history or a question."""


def _first_line(cause: BaseException) -> str:
    """What went wrong, without a traceback."""
    worded = isinstance(cause, _WORDED) and not isinstance(cause, RayTaskError)
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()] if worded else []
    return f"{type(cause).__name__}: {lines[-1][:300]}" if lines else type(cause).__name__


class RemoteRetriever:
    """Retrieval by the history server. See `RetrieverProtocol`."""

    def __init__(self, part: RemoteDeployment) -> None:
        self._part = part

    async def retrieve(self, user: UserKey, query: str, n: int, deadline: float) -> RetrievalResult:
        found: RetrievalResult = await self._part.call(
            "retrieve", user, query, n, traceparent(), affine=user.stored, deadline=deadline, tries=2
        )
        return found


class RemoteScorer:
    """The scorer. See `ScorerProtocol`."""

    def __init__(self, part: RemoteDeployment) -> None:
        self._part = part

    async def score(self, scoring: ScoreRequest, deadline: float) -> ScoreResult:
        scored: ScoreResult | None = await self._part.call(
            "score", scoring, deadline, traceparent(), affine=scoring.user or "", deadline=deadline, tries=2
        )
        if scored is None:
            raise DeadlineError("the deadline passed before the scorer came to it")
        return scored
