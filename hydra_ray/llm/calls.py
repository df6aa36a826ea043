"""What the client works on: distinct requests, and the calls that answer them."""

from dataclasses import dataclass, field, replace

from hydra_ray.llm.types import CachedResponse, Completion, Request, finishes

PROBE = Request(({"role": "user", "content": "Hello"},), max_tokens=16)
"""What no filter refuses, and every server answers that answers anything."""


@dataclass(slots=True)
class CallGroup:
    """One distinct request, and the parts of its answer that have come in, by first sample.

    copies: how often it was asked for. level: how many of its fallbacks were too long, and the prompt itself; the next
    one is asked. open_calls: still to be made. one_by_one: the call for all samples failed, and one alone shows whether
    that is why. suspicion: see `RejectedError`.
    """

    request: Request
    copies: int = 1
    level: int = 0
    parts: dict[int, CachedResponse] = field(default_factory=dict)
    open_calls: int = 0
    paid: bool = False
    one_by_one: bool = False
    error: str | None = None
    rejected: bool = False
    suspicion: str | None = None

    @property
    def count(self) -> int:
        """Samples to be asked for: at temperature 0 all are the same one."""
        return samples(self.request)

    def shown(self, level: int) -> Request:
        """The request as it is sent, after `level` versions of its prompt were too long."""
        return replace(self.request, messages=self.request.fallbacks[level - 1]) if level else self.request

    def shorten(self, level: int) -> bool:
        """Notes that the version at `level` is too long; whether there is a shorter one."""
        self.level = max(self.level, min(level + 1, len(self.request.fallbacks)))
        return self.level > level

    def answer(self, n: int) -> Completion:
        """The answer for a caller who wants `n` texts."""
        records = [self.parts[start] for start in sorted(self.parts)]
        texts = tuple(text for record in records for text in record["texts"])[: self.count]
        finish = tuple(end for record in records for end in finishes(record))[: self.count]
        repeats = n if self.count < n else 1
        return Completion(
            texts=texts * repeats,
            prompt_tokens=sum(record["prompt_tokens"] for record in records),
            completion_tokens=sum(record["completion_tokens"] for record in records),
            cached=bool(records) and not self.paid and self.error is None,
            error=self.error,
            permanent=self.rejected,
            finish=finish * repeats,
            degraded=any(record.get("degraded", False) for record in records),
        )

    def missing(self) -> list[int]:
        """Samples that no part holds, once the call for all of them has come back with fewer."""
        return list(range(len(self.parts[0]["texts"]), self.count)) if 0 in self.parts else []


@dataclass(frozen=True, slots=True)
class LLMCall:
    """Asks for samples `start` to `start + count` of a job."""

    job: CallGroup
    start: int
    count: int


def samples(request: Request) -> int:
    """Different samples that a request asks for. Greedy decoding gives one, and vLLM refuses to repeat it."""
    return request.n if request.temperature > 0 else 1
