"""A question as methods see it, whose retrievers, rerankers and adapters say what they were asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra_ray.core.tasks import Task, load_task

TASK = load_task("lamp_2m")


@dataclass
class Asked:
    """Before the LLM is called; a call is what it shows."""

    task: Task = TASK
    query: Any = None
    summary: str = "a summary"

    def retrieve(self, method: Any, n: int) -> Any:
        return (f"{n} by {method}",)

    def rerank(self, reranker: str) -> Any:
        return (f"{reranker}'s",)

    def greedy(self, examples: Sequence[Any] = (), summary: str = "") -> Any:
        return ("greedy", *examples, *([summary] if summary else []))

    def samples(self, examples: Sequence[Any] = ()) -> Any:
        return ("samples", *examples)


@dataclass
class Answered:
    """After it."""

    answers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    history: Sequence[str] = ()
    task: Task = TASK

    def texts(self, call: str) -> Sequence[str]:
        return self.answers.get(call, ())

    def candidates(self, samples: str, adapter: str) -> Sequence[str]:
        return (samples, adapter)

    def choose(self, samples: str, adapter: str) -> str:
        return f"{adapter} of {samples}"
