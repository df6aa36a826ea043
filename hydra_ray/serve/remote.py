"""The parts of the service as the gateway calls them: handles of Ray Serve behind the protocols of `types`."""

import asyncio
import time
from typing import Any, TypeVar

import grpc
from ray.exceptions import RayError, TaskCancelledError
from ray.serve.exceptions import BackPressureError, RayServeException

from hydra_ray.core.sharding import bucket_of
from hydra_ray.serve.types import DeadlineError, Found, OverloadedError, Scored, Scoring, StageDownError, UserKey

T = TypeVar("T")


class Part:
    """One deployment. longest_s: how long a call may take before the part counts as down."""

    def __init__(self, handle: Any, name: str, buckets: int, longest_s: float) -> None:
        self._handle, self._name, self._buckets, self._longest_s = handle, name, buckets, longest_s

    async def call(
        self, method: str, *args: Any, affine: str = "", deadline: float = float("inf"), tries: int = 1
    ) -> Any:
        """The method's answer. affine: stored id of the user it is about: the same replica serves a bucket as long as
        there are as many. tries: attempts if the replica dies meanwhile; only for what may be done twice.

        Raises OverloadedError, DeadlineError, StageDownError.
        """
        for attempt in range(1, tries + 1):
            left = deadline - time.time()
            if left <= 0:
                raise DeadlineError("the deadline has passed")
            handle = self._handle
            if affine:
                handle = handle.options(session_id=str(bucket_of(affine, self._buckets)))
            response = getattr(handle, method).remote(*args)
            try:
                return await asyncio.wait_for(_answer(response), min(left, self._longest_s))
            except TimeoutError:
                if time.time() >= deadline:
                    raise DeadlineError("the deadline has passed") from None
                raise StageDownError(f"{self._name}: no answer within {self._longest_s:g} s") from None
            except BackPressureError:
                raise OverloadedError from None
            except (StageDownError, OverloadedError, DeadlineError):
                raise
            except TaskCancelledError as error:
                raise StageDownError(f"{self._name}: {_first_line(error)}") from None
            except (RayError, RayServeException, grpc.RpcError) as error:
                if attempt == tries:
                    raise StageDownError(f"{self._name}: {_first_line(error)}") from None
        raise AssertionError("unreachable")


async def _answer(response: Any) -> Any:
    """Awaits a DeploymentResponse; whoever stops waiting cancels it."""
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()
        raise


def _first_line(error: BaseException) -> str:
    """What went wrong, without a traceback."""
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[-1][:300]}" if lines else type(cause).__name__


class RemoteRetriever:
    """The retriever. See `Retrieves`."""

    def __init__(self, part: Part) -> None:
        self._part = part

    async def retrieve(self, user: UserKey, query: str, n: int, deadline: float) -> Found:
        found: Found = await self._part.call("retrieve", user, query, n, affine=user.stored, deadline=deadline, tries=2)
        return found


class RemoteScorer:
    """The scorer. See `Scores`."""

    def __init__(self, part: Part) -> None:
        self._part = part

    async def score(self, scoring: Scoring, deadline: float) -> Scored:
        scored: Scored | None = await self._part.call(
            "score", scoring, deadline, affine=scoring.user or "", deadline=deadline, tries=2
        )
        if scored is None:
            raise DeadlineError("the deadline passed before the scorer came to it")
        return scored
