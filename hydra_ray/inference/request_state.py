"""One request on its way: what was not done as it should have been, how long the stages took, whose heads were used."""

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from hydra_ray.inference.trace import Degraded, Reason, Stage
from hydra_ray.inference.types import Component, DeadlineError, PersonalizeRequest, ScoreResult, UserKey
from hydra_ray.utils.tracing import span

logger = logging.getLogger(__name__)


@dataclass
class RequestState:
    """Of one request.

    Attributes:
        ask: The request.
        user: Who asks; None: no user is named.
        began: `time.perf_counter()` at its beginning.
        degraded: What was left out, in order.
        ms: Milliseconds by stage.
        heads: Component -> version of the head store that scored.
        own_heads: Components that used the user's own head.
    """

    ask: PersonalizeRequest
    user: UserKey | None
    began: float = field(default_factory=time.perf_counter)
    degraded: list[Degraded] = field(default_factory=list)
    ms: dict[str, float] = field(default_factory=dict)
    heads: dict[Component, int] = field(default_factory=dict)
    own_heads: list[Component] = field(default_factory=list)

    def degrade(self, reason: Reason, detail: object = "") -> None:
        """Notes that something was left out."""
        self.degraded.append(Degraded(reason=reason, detail=str(detail)))

    @contextlib.contextmanager
    def timed(self, stage: Stage) -> Iterator[None]:
        """Measures a stage, failed or not, and makes a span of it."""
        began = time.perf_counter()
        try:
            with span(stage):
                yield
        finally:
            self.ms[stage] = round(1000 * (time.perf_counter() - began), 3)

    def end(self) -> None:
        """Notes the time of the whole."""
        self.ms["total"] = round(1000 * (time.perf_counter() - self.began), 3)

    def check_deadline(self) -> None:
        """Raises DeadlineError once the deadline has passed."""
        if time.time() > self.ask.deadline:
            raise DeadlineError("the deadline has passed")

    def scored(self, component: Component, scored: ScoreResult) -> None:
        """Notes whose head scored."""
        self.heads[component] = scored.version
        if scored.own_head:
            self.own_heads.append(component)
        if scored.problem:
            logger.warning("%s: the user's head cannot be read: %s", component, scored.problem)
            self.degrade("head_unreadable", f"the {component}'s; the service's log says why")
