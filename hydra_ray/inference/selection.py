"""Which candidates there are, what the adapter reads of them, and which of them is the answer. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hydra_ray.config import AdapterConfig
from hydra_ray.core.answers.parse import parsed_texts
from hydra_ray.core.features import AnswerCounts, Supporter, candidate_features
from hydra_ray.core.selection import Candidates, candidate_weights, candidates_of, select_candidate, top_k
from hydra_ray.core.tasks import Task


@dataclass(frozen=True, slots=True)
class CandidateSet:
    """What the adapter chooses from.

    Attributes:
        texts: Distinct, normalised; those of the LLM first, as they came.
        votes: Samples that gave each.
        samples: All that hold an answer, normalised, equal ones as often as they came.
        plain: The LLM's answer without examples, normalised; "" where it is no candidate.
    """

    texts: tuple[str, ...]
    votes: tuple[int, ...]
    samples: tuple[str, ...]
    plain: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """The candidates in the order of the choice.

    Attributes:
        order: Places of the candidates, best first; the first one answers. Empty without candidates.
        scores: The adapter's log-odds, one a candidate; empty where it did not run.
        weights: What the choice was made by, likewise.
    """

    order: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()


def make_candidates(
    task: Task,
    samples: Sequence[str | None],
    plain: Sequence[str | None],
    answer_counts: AnswerCounts,
    config: AdapterConfig,
) -> CandidateSet:
    """The candidates of one query.

    Args:
        task: Of the query.
        samples: The LLM's raw samples.
        plain: The LLM's raw answer without examples, a candidate with `adapter.zero_shot_candidate`; empty: there is
            none.
        answer_counts: Of the user; its answers are candidates with `adapter.history_candidates`.
        config: Of the adapter.
    """
    extra = plain if config.zero_shot_candidate else ()
    made: Candidates = candidates_of(task, (*samples, *extra), answer_counts, config.history_candidates)
    return CandidateSet(made.texts, made.votes, made.samples, next(iter(parsed_texts(task, extra)), ""))


def adapter_features(
    task: Task,
    query: str,
    candidates: CandidateSet,
    answer_counts: AnswerCounts,
    supporters: Sequence[Supporter],
    topics: Mapping[str, float],
    width: int,
) -> tuple[tuple[float, ...], ...]:
    """What an adapter reads of each candidate besides its text (`hydra_ray.core.features`).

    Args:
        task: Of the query.
        query: Its text.
        candidates: To be scored.
        answer_counts: Of the user.
        supporters: The retrieved items' answers with their weights.
        topics: Label -> log-odds ratio that the query's text gives it.
        width: Numbers that the adapter reads; 0: none.

    Returns:
        One tuple a candidate; nothing at all for width 0.
    """
    if not width:
        return ()
    made = candidate_features(
        task, query, candidates.texts, candidates.samples, answer_counts, supporters, topics, candidates.plain
    )
    return tuple(made)


def select(task: Task, candidates: CandidateSet, scores: Sequence[float] | None, config: AdapterConfig) -> Selection:
    """Orders the candidates by what speaks for them.

    Args:
        task: Of the query.
        candidates: What there is to choose from.
        scores: The adapter's log-odds, one a candidate; None: it did not run, and the first candidate answers.
        config: Of the adapter: how scores and votes make the choice.
    """
    if not candidates.texts:
        return Selection()
    if scores is None:
        return Selection(tuple(range(len(candidates.texts))))
    weights = candidate_weights(scores, candidates.votes, config.select)
    first = select_candidate(task, candidates.texts, weights, config.select)
    rest = (i for i in top_k(weights, len(weights)) if i != first)
    return Selection((first, *rest), tuple(float(score) for score in scores), tuple(weights))
