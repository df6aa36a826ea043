"""What a replica reports of what it counts."""

from typing import Any

import hydra_ray.serve.observability.metric_names as names
from hydra_ray.serve.clients.llm import LLMCounts
from hydra_ray.serve.observability.metrics import Meters


class Noted(Meters):
    """Counts in a list instead of through Ray, and reports when told to."""

    def __init__(self, deployment: str) -> None:
        super().__init__(deployment)
        self.counted: list[tuple[str, float, dict[str, str]]] = []
        self.gauges: dict[tuple[object, ...], float] = {}

    def count(self, metric: names.Metric, by: float = 1.0, **tags: str) -> None:
        if by > 0:
            self.counted.append((metric.name, by, tags))

    def set(self, metric: names.Metric, value: float, **tags: str) -> None:
        self.gauges[(metric.name, *sorted(tags.items()))] = value

    def _watch(self, report: Any) -> None:
        self._watched.append(report)

    def report(self) -> None:
        for report in self._watched:
            report()


def test_calls_to_the_llm_are_reported_as_they_grow() -> None:
    meters, calls, up = Noted("Fitter"), LLMCounts(), [True]
    meters.watch_llm(calls, lambda: up[0])
    meters.report()
    assert meters.counted == []
    assert meters.gauges == {("hydra_llm_up", ("deployment", "Fitter")): 1.0}
    calls.calls, calls.retries, calls.prompt_tokens, calls.completion_tokens = 2, 1, 20, 3
    up[0] = False
    meters.report()
    calls.prompt_tokens += 5
    meters.report()
    assert meters.gauges == {("hydra_llm_up", ("deployment", "Fitter")): 0.0}
    assert meters.counted == [
        ("hydra_llm_calls_total", 2, {}),
        ("hydra_llm_retries_total", 1, {}),
        ("hydra_llm_tokens_total", 20, {"kind": "prompt"}),
        ("hydra_llm_tokens_total", 3, {"kind": "completion"}),
        ("hydra_llm_tokens_total", 5, {"kind": "prompt"}),
    ]


def test_a_number_that_is_not_known_yet_is_not_reported() -> None:
    meters, known = Noted("Fitter"), [None, 3, None]
    meters.watch_gauge(names.FITS_UNFINISHED, lambda: known.pop(0))
    meters.report()
    assert meters.gauges == {}
    meters.report()
    meters.report()
    assert meters.gauges == {("hydra_fits_unfinished",): 3.0}
