"""From the evaluated questions' answers to one table row per question: what every method answered."""

from itertools import chain
from pathlib import Path
from typing import Any

from hydra_ray.config import AdapterConfig
from hydra_ray.core.candidates import candidates_of
from hydra_ray.core.evidence import evidence, habits
from hydra_ray.core.feedback import Row
from hydra_ray.core.select import pick, self_consistency, user_majority, weigh
from hydra_ray.core.tasks import Task
from hydra_ray.pipeline.rows import buckets_of, read_rows
from hydra_ray.report import AnswerRow
from hydra_ray.train.artifact import TrainedScorer
from hydra_ray.train.groups import Group

ADAPTERS = {"hydra_adapter": ("bm25", "hydra"), "hydra_shared": ("shared", "shared"), "hydra": ("hydra", "hydra")}
"""Method -> (whose samples, whose adapter)."""


def answer_table(
    task: Task, seed: int, answered: Path, adapters: dict[str, TrainedScorer], config: AdapterConfig
) -> list[AnswerRow]:
    """One row per question with all methods' answers. adapters: `hydra`, `shared`."""
    table: list[AnswerRow] = []
    by_bucket = (read_rows(answered, [bucket]) for bucket in buckets_of(answered))
    for user_id, bucket, rows in chain.from_iterable(by_bucket):
        by_method = [dict(zip(extra["methods"], row.answers, strict=True)) for row, extra in rows]
        chosen = {
            method: _choose(task, user_id, bucket, rows, samples,
                            [answers[f"samples:{samples}"] for answers in by_method], adapters[adapter], config)
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
            length = len(extra["history"])
            table.append(AnswerRow(seed, user_id, row.query_id, row.gold, length, answers, extra["scored"]))
    return table


def _choose(
    task: Task,
    user_id: str,
    bucket: int,
    rows: list[tuple[Row, dict[str, Any]]],
    prompts: str,
    samples: list[tuple[str, ...]],
    adapter: TrainedScorer,
    config: AdapterConfig,
) -> list[str | None]:
    """The adapter's answer for each question; the first sample where there is no candidate.

    prompts: whose prompts the samples answer, and whose weights of the retrieved records are the evidence.
    """
    groups, votes = [], []
    for (row, extra), raw in zip(rows, samples, strict=True):
        own = habits(task, extra["history"])
        made = candidates_of(task, raw, own, config.own_candidates)
        beside: list[tuple[float, ...]] = []
        if adapter.scorer.evidence:
            beside += evidence(task, made.texts, made.samples, own, extra["supporters"][prompts])
        blank = (0.0,) * len(made.texts)
        groups.append(Group(user_id, bucket, row.query_id, row.text, made.texts, blank, tuple(beside)))
        votes.append(made.votes)
    scored = zip(groups, adapter.score(groups), votes, samples, strict=True)
    return [
        g.right[pick(task, g.right, weigh(s.tolist(), v, config.select), config.select)]
        if g.right
        else (raw[0] if raw else None)
        for g, s, v, raw in scored
    ]
