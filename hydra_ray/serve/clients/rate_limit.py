"""The run's `llm.requests_per_minute` and `llm.tokens_per_minute`, kept by all processes of a service together.

Each process that asks the LLM keeps a fixed share, so that none has to ask another before it answers: fits get FITS,
the gateway's replicas the rest in equal parts, as many as there may be. A share that is not used is lost.
"""

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
    """The limits that a config names, for one process. Requests go out in the order in which they came."""

    def __init__(self, llm: LLMConfig) -> None:
        self._limits = RateLimits(llm.requests_per_minute, llm.tokens_per_minute)

    def take(self, tokens: float, left_s: float) -> float:
        """Takes room for a request.

        Args:
            tokens: of prompt and answer, about.
            left_s: seconds that the request may wait.

        Returns:
            Seconds to wait before it is sent.

        Raises:
            OverloadedError: there is no room in time; nothing is taken.
        """
        wait_s = self._limits.wait_s(tokens, 0)
        if wait_s > left_s:
            raise OverloadedError(wait_s)
        self._limits.draw(tokens)
        return wait_s

    def settle(self, taken: float, used: float) -> None:
        """A request for which `taken` tokens were taken has used so many."""
        self._limits.settle(taken, used)
