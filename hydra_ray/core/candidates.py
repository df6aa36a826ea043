"""The answers that an adapter chooses from: what the LLM answered, and what the user has answered before. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from hydra_ray.core.answers.parse import parsed_texts
from hydra_ray.core.features import AnswerProfile, history_candidates
from hydra_ray.core.tasks import Task


@dataclass(frozen=True, slots=True)
class Candidates:
    """texts: distinct, normalised; the samples' first, as they came. votes: samples that gave each. samples: all that
    hold an answer, normalised, equal ones as often as they came."""

    texts: tuple[str, ...]
    votes: tuple[int, ...]
    samples: tuple[str, ...]


def candidates_of(task: Task, raw: Iterable[str | None], own: AnswerProfile, with_own: bool) -> Candidates:
    """The candidates of a query. raw: the LLM's samples. own: the user's; with_own: these are candidates, too."""
    samples = parsed_texts(task, raw)
    count = Counter(samples)
    texts = (*count, *(history_candidates(task, own, samples) if with_own else ()))
    return Candidates(texts, tuple(count[text] for text in texts), tuple(samples))
