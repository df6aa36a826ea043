"""The run's `llm.requests_per_minute` and `llm.tokens_per_minute`, kept by all processes of a service together.

Each process that asks the LLM keeps a fixed share, so that none has to ask another before it answers: fits get FITS,
the gateway's replicas the rest in equal parts, as many as there may be. A share that is not used is lost.
"""

import asyncio
import contextlib
import time

from hydra_ray.config import LLMConfig
from hydra_ray.inference.types import OverloadedError
from hydra_ray.llm.rate_limits import RateLimits

FITS = 0.25
"""The share of the fitter, which can wait."""


def of_fitter(llm: LLMConfig) -> LLMConfig:
    """The config with the fitter's share of its limits."""
    return _share(llm, FITS)


def of_gateway(llm: LLMConfig, replicas: int) -> LLMConfig:
    """The config with one gateway replica's share of its limits. replicas: how many there may be at most."""
    return _share(llm, (1 - FITS) / replicas)


def _share(llm: LLMConfig, share: float) -> LLMConfig:
    limits = {"requests_per_minute": llm.requests_per_minute, "tokens_per_minute": llm.tokens_per_minute}
    return llm.model_copy(update={name: most * share for name, most in limits.items() if most is not None})


class RateLimit:
    """The limits that a config names, for one process. Requests go out in the order in which they came; what waits has
    taken nothing yet. For one event loop."""

    def __init__(self, llm: LLMConfig) -> None:
        self._limits = RateLimits(llm.requests_per_minute, llm.tokens_per_minute)
        self._waiting: list[float] = []
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    async def take(self, tokens: float, left_s: float) -> float:
        """Waits for room for a request and takes it.

        Args:
            tokens: of prompt and answer, about.
            left_s: seconds that the request may wait.

        Returns:
            The tokens that are taken, for `settle` or `give_back`: a minute's at most.

        Raises:
            OverloadedError: there is no room in time; nothing is taken.
        """
        ends_at = time.monotonic() + left_s
        wait_s = self._wait_s(tokens)
        if wait_s > left_s:
            raise OverloadedError(wait_s)
        self._waiting.append(tokens)
        try:
            async with self._turn:
                while (wait_s := self._limits.wait_s(tokens, 0)) > 0:
                    if wait_s > ends_at - time.monotonic():
                        raise OverloadedError(wait_s)
                    self._freed.clear()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._freed.wait(), wait_s)
                return self._limits.draw(tokens)
        finally:
            self._waiting.remove(tokens)

    def _wait_s(self, tokens: float) -> float:
        """Seconds before a request can go out that comes after all those that wait."""
        drawn = [self._limits.draw(waiting) for waiting in self._waiting]
        wait_s = self._limits.wait_s(tokens, 0)
        for one in drawn:
            self._limits.give_back(one)
        return wait_s

    def take_now(self, tokens: float) -> None:
        """Takes room for a request that does not wait; those after it do."""
        self._limits.draw(tokens)

    def give_back(self, taken: float) -> None:
        """A request for which `taken` tokens were taken was not sent."""
        self._limits.give_back(taken)
        self._freed.set()

    def settle(self, taken: float, used: float) -> None:
        """A request for which `taken` tokens were taken has used so many."""
        self._limits.settle(taken, used)
        self._freed.set()
