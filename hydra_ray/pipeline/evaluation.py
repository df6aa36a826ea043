"""From the evaluated questions' answers to one table row per question: what every method answered."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hydra_ray.core.evidence import evidence, habits
from hydra_ray.core.feedback import Row
from hydra_ray.core.select import argmax, self_consistency, user_majority
from hydra_ray.core.tasks import Task
from hydra_ray.core.text import texts_of
from hydra_ray.pipeline.rows import buckets_of, read_rows
from hydra_ray.report import AnswerRow
from hydra_ray.train.artifact import TrainedScorer
from hydra_ray.train.groups import Group

ADAPTERS = {"hydra_adapter": ("bm25", "hydra"), "hydra_shared": ("shared", "shared"), "hydra": ("hydra", "hydra")}
"""Method -> (whose samples, whose adapter)."""


def answer_table(
    task: Task, seed: int, answered: Path, adapters: dict[str, TrainedScorer], select: str
) -> list[AnswerRow]:
    """One row per question with all methods' answers. adapters: `hydra`, `shared`; select: `adapter.select`."""
    table: list[AnswerRow] = []
    for user_id, bucket, rows in read_rows(answered, buckets_of(answered)):
        by_method = [dict(zip(extra["methods"], row.answers, strict=True)) for row, extra in rows]
        chosen = {
            method: _choose(task, user_id, bucket, rows, samples,
                            [answers[f"samples:{samples}"] for answers in by_method], adapters[adapter], select)
            for method, (samples, adapter) in ADAPTERS.items()
        }  # fmt: skip
        for i, (row, extra) in enumerate(rows):
            answers: dict[str, str | None] = {
                name.removeprefix("greedy:"): texts[0] if texts else None
                for name, texts in by_method[i].items()
                if name.startswith("greedy:")
            }
            samples = by_method[i]["samples:bm25"]
            answers["user_majority"] = user_majority(task, extra["history"], task.labels[0] if task.labels else "")
            answers["self_consistency"] = self_consistency(task, samples) if samples else None
            answers |= {method: picks[i] for method, picks in chosen.items()}
            table.append(AnswerRow(seed, user_id, row.query_id, row.gold, len(extra["history"]), answers))
    return table


def _choose(
    task: Task,
    user_id: str,
    bucket: int,
    rows: list[tuple[Row, dict[str, Any]]],
    prompts: str,
    samples: list[tuple[str, ...]],
    adapter: TrainedScorer,
    select: str,
) -> list[str | None]:
    """The adapter's answer for each question; the first sample where none holds an answer.

    prompts: whose prompts the samples answer, and whose weights of the retrieved records are the evidence.
    """
    answers = [texts_of(task, texts) for texts in samples]
    counts = [Counter(texts) for texts in answers]
    groups = []
    for (row, extra), texts, count in zip(rows, answers, counts, strict=True):
        beside: list[tuple[float, float]] = []
        if adapter.scorer.evidence:
            beside = evidence(task, list(count), texts, habits(task, extra["history"]), extra["supporters"][prompts])
        groups.append(Group(user_id, bucket, row.query_id, row.text, tuple(count), (0.0,) * len(count), tuple(beside)))
    picked: list[str | None] = []
    for count, raw, score in zip(counts, samples, adapter.score(groups), strict=True):
        weight = candidate_weights(score, list(count.values()), select)
        picked.append(list(count)[argmax(weight)] if count else (raw[0] if raw else None))
    return picked


def candidate_weights(log_odds: NDArray[np.float32], counts: Sequence[int], select: str) -> list[float]:
    """What the answer is chosen by. `best`: the log-odds. `weighted`: the sum of the probabilities of equal samples.

    The latter is weighted voting over samples as in Li et al. 2023 (arXiv 2206.02336).
    """
    if select == "best":
        return [float(x) for x in log_odds]
    return [float(n / (1 + np.exp(-float(x)))) for x, n in zip(log_odds, counts, strict=True)]
