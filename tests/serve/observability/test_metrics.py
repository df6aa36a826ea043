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

    def count(self, metric: names.Metric, by: float = 1.0, **tags: str) -> None:
        if by > 0:
            self.counted.append((metric.name, by, tags))

    def _watch(self, report: Any) -> None:
        self._watched.append(report)

    def report(self) -> None:
        for report in self._watched:
            report()


def test_calls_to_the_llm_are_reported_as_they_grow() -> None:
    meters, calls = Noted("Fitter"), LLMCounts()
    meters.watch_llm(calls)
    meters.report()
    assert meters.counted == []
    calls.retries, calls.prompt_tokens, calls.completion_tokens = 1, 20, 3
    meters.report()
    calls.prompt_tokens += 5
    meters.report()
    assert meters.counted == [
        ("hydra_llm_retries_total", 1, {}),
        ("hydra_llm_tokens_total", 20, {"kind": "prompt"}),
        ("hydra_llm_tokens_total", 3, {"kind": "completion"}),
        ("hydra_llm_tokens_total", 5, {"kind": "prompt"}),
    ]
