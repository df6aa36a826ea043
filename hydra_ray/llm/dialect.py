"""Which parameters a server takes and under which names: found out from its refusals, kept as long as the process."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from hydra_ray.config import LLMConfig
from hydra_ray.llm.http_errors import Problem, refused_parameter, wants_positive
from hydra_ray.llm.retry import TooLongError, TransientError
from hydra_ray.llm.types import Request

logger = logging.getLogger(__name__)

LEAST_TEMPERATURE = 0.01
"""For a server that takes no temperature of 0."""
OURS = ("max_tokens", "temperature", "top_p", "n", "seed")
OTHER_NAMES = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


@dataclass(slots=True)
class Dialect:
    """One server and model, as this process knows it. Every client of the process shares it.

    names: our parameter -> the server's, None: left out; others go by their own name. least_temperature: sent in place
    of a lower one. one_by_one: the server gives one text a call, whatever `n` says; takes_n: it has given
    several. answered: it has answered at least
    once. refused_in_row: prompts that it refused since its last answer, with a status that may also mean that it
    refuses everything.
    """

    names: dict[str, str | None] = field(default_factory=dict)
    least_temperature: float = 0.0
    one_by_one: bool = False
    takes_n: bool = False
    answered: bool = False
    refused_in_row: int = 0

    def parameters(self, cfg: LLMConfig, request: Request, start: int, count: int) -> dict[str, Any]:
        """The call's parameters under the server's names. A seed moves on with `start`, so that samples differ."""
        ours: dict[str, Any] = {
            "max_tokens": request.max_tokens,
            "temperature": max(request.temperature, self.least_temperature),
        }
        if cfg.top_p is not None:
            ours["top_p"] = cfg.top_p
        if count > 1:
            ours["n"] = count
        if request.seed is not None:
            ours["seed"] = request.seed + start
        return self.named(ours)

    def named(self, ours: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters under the server's names, without those that it does not take."""
        named = {self.names.get(name, name): value for name, value in ours.items()}
        return {name: value for name, value in named.items() if name is not None}

    def forwarded(self, theirs: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters of a caller's own request under the server's names. Several answers are asked for even where the
        server refuses that: its refusal goes to the caller, who would else get fewer without a word."""
        count = theirs.get("n") or 1
        return self.named(theirs) | ({"n": count} if count > 1 else {})

    def note_answer(self, texts: int, count: int) -> None:
        """A call for `count` samples was answered with so many."""
        self.answered, self.refused_in_row = True, 0
        self.takes_n |= texts > 1
        self.one_by_one |= texts == 1 < count

    def may_be_n(self, cfg: LLMConfig, count: int, error: Exception) -> bool:
        """Whether a call for `count` samples may have failed because there are several, in words that do not say so."""
        if count == 1 or cfg.supports_n is not None or self.takes_n:
            return False
        if isinstance(error, TransientError):
            return error.status in {500, 501}
        return not isinstance(error, TooLongError)

    def learn(self, problem: Problem, sent: Mapping[str, Any], kept: Collection[str] = ()) -> bool:
        """Whether a refusal of parameters that were `sent` is about one that can go by another name, or be left out.

        It does from then on; the call is worth another attempt. kept: our names of those that may not be changed.
        """
        ours = {self.names.get(name, name): name for name in OURS if name not in kept}
        refused = refused_parameter(problem, [name for name in sent if name in ours])
        if refused is None:
            return self._learn_temperature(problem, sent)
        name = ours[refused]
        theirs: str | None = None
        if name == "max_tokens":  # never left out: it bounds what a call can cost
            theirs = OTHER_NAMES.get(refused, "max_completion_tokens")
            if theirs not in problem.message and refused != "max_tokens":
                return False
        self.one_by_one |= name == "n"
        self.names[name] = theirs
        logger.warning("the server refuses %s: %s from now on", refused, f"sent as {theirs}" if theirs else "left out")
        return True

    def _learn_temperature(self, problem: Problem, sent: Mapping[str, Any]) -> bool:
        name = self.names.get("temperature", "temperature")
        if name is None or name not in sent or sent[name] > 0 or not wants_positive(problem, name):
            return False
        self.least_temperature = LEAST_TEMPERATURE
        logger.warning("the server takes no temperature of 0: %g is sent instead", LEAST_TEMPERATURE)
        return True


_known: dict[tuple[str, str, str], Dialect] = {}


def dialect_of(cfg: LLMConfig, url: str) -> Dialect:
    """What this process knows of the model behind `url`; at first, what `llm.parameters` says."""
    key = (url, cfg.model, repr(sorted(cfg.parameters.items())))
    if key not in _known:
        _known[key] = Dialect(names={str(name): theirs for name, theirs in cfg.parameters.items()})
    return _known[key]
