"""From the evaluated questions' answers to one table row per question: what every method answered."""

from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

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


SAMPLED = {"self_consistency": "bm25", **{method: samples for method, (samples, _) in ADAPTERS.items()}}
"""Method -> whose samples it chooses from."""
PROFILES = ("pag_k0", "pag_k1")
"""The methods that read the profile summary."""


def answer_table(
    task: Task,
    seed: int,
    answered: Path,
    adapters: dict[str, TrainedScorer],
    config: AdapterConfig,
    no_summary: Collection[tuple[str, str]] = (),
) -> list[AnswerRow]:
    """One row per question with all methods' answers. adapters: `hydra`, `shared`.

    no_summary: (user, question) whose profile summary the LLM refused.
    """
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
            lacking = missing_methods(by_method[i], config.n, (user_id, row.query_id) in no_summary)
            table.append(AnswerRow(seed, user_id, row.query_id, row.gold, len(extra["history"]), answers, lacking))
    return table


def missing_methods(by_request: Mapping[str, Sequence[str]], n: int, no_summary: bool) -> frozenset[str]:
    """The methods that lack one of their answers. by_request: the texts that came back; n: samples wanted."""
    lacking = {
        name.removeprefix("greedy:") for name, texts in by_request.items() if name.startswith("greedy:") and not texts
    }
    lacking |= {method for method, samples in SAMPLED.items() if len(by_request[f"samples:{samples}"]) < n}
    return frozenset(lacking | set(PROFILES if no_summary else ()))


def refused_summaries(folder: Path) -> set[tuple[str, str]]:
    """(user, question) whose profile summary the LLM refused. folder: of the finished step."""
    if not (folder / "answers").exists():
        return set()
    rows = pq.read_table(folder / "answers", columns=["user_id", "query_id", "errors"]).to_pylist()
    return {(row["user_id"], row["query_id"]) for row in rows if row["errors"][0] is not None}


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
