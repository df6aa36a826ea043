"""The table a report is made of: one row per answered question."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hydra_ray.core.answers.parse import is_unusable, parse_answer
from hydra_ray.core.lamp_score import is_answer
from hydra_ray.core.tasks import Task


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One question of one seed, with what every method answered.

    history_length: items that existed when it was asked. answers: method -> raw answer (as the LLM wrote it, so that
    answers of no label can be distinguished from empty ones), None if none came back. oracles: name -> the best answer,
    known from the gold one, among those that a part of HYDRA chooses from; None if there was nothing to choose from.
    missing: methods that lack an answer of the LLM for this question, wholly or in part, whatever they answered without
    it. scored: whether there is a gold answer; rows without one stand in the predictions alone, their `gold` is "".
    calls: method -> names of the calls whose answers it read.
    """

    seed: int
    user_id: str
    question_id: str
    gold: str
    history_length: int
    answers: Mapping[str, str | None]
    oracles: Mapping[str, str | None] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()
    scored: bool = True
    calls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def check_rows(rows: Sequence[AnswerRow]) -> None:
    """Raises ValueError without rows, if two rows are one question, or if a row lacks a method that another has."""
    if not rows:
        raise ValueError("a report needs at least one answered question")
    seen: set[tuple[int, str, str]] = set()
    methods = set(rows[0].answers)
    for row in rows:
        key = (row.seed, row.user_id, row.question_id)
        where = f"seed {row.seed}, user {row.user_id!r}, question {row.question_id!r}"
        if key in seen:
            raise ValueError(f"{where}: answered twice")
        seen.add(key)
        if set(row.oracles) != set(rows[0].oracles):
            raise ValueError(f"{where}: oracles {sorted(row.oracles)}, elsewhere {sorted(rows[0].oracles)}")
        if set(row.answers) != methods:
            raise ValueError(f"{where}: answers of {sorted(row.answers)}, elsewhere of {sorted(methods)}")


def missing_count(rows: Sequence[AnswerRow], method: str) -> int:
    """Questions for which a method lacks an answer of the LLM."""
    return sum(row.answers[method] is None or method in row.missing for row in rows)


def sorted_rows(rows: Sequence[AnswerRow]) -> list[AnswerRow]:
    """By seed, user and question, so that nothing depends on the order of completion."""
    return sorted(rows, key=lambda row: (row.seed, row.user_id, row.question_id))


def answer_counts(task: Task, answers: Sequence[str | None]) -> dict[str, int]:
    """How many answers are `missing` (no call came back), `empty`, `thoughts_only` (a reasoning model that never came
    to its answer), and `no_label` (text, but none of the labels, and no number on a rating's scale)."""
    counts = {"missing": 0, "empty": 0, "thoughts_only": 0, "no_label": 0}
    for answer in answers:
        if answer is None:
            counts["missing"] += 1
        elif not answer.strip():
            counts["empty"] += 1
        elif is_unusable(answer):
            counts["thoughts_only"] += 1
        elif not is_answer(task, parse_answer(task, answer)):
            counts["no_label"] += 1
    return counts
