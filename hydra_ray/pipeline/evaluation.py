"""From the evaluated questions' answers to one table row per question: what every method answered."""

from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from hydra_ray.config import AdapterConfig
from hydra_ray.core.candidates import candidates_of
from hydra_ray.core.evidence import evidence
from hydra_ray.core.feedback import Row
from hydra_ray.core.metrics import row_scores
from hydra_ray.core.select import pick, self_consistency, user_majority, weigh
from hydra_ray.core.tasks import Task
from hydra_ray.core.text import normalise
from hydra_ray.pipeline.rows import buckets_of, read_rows
from hydra_ray.report import AnswerRow
from hydra_ray.train.artifact import TrainedScorer
from hydra_ray.train.groups import Group

ADAPTERS = {
    "hydra_adapter": ("bm25", "hydra"),
    "hydra_shared": ("shared", "shared"),
    "hydra_paper": ("hydra", "paper"),
    "hydra_unguarded": ("hydra", "unguarded"),
    "hydra": ("hydra", "hydra"),
}
"""Method -> (whose samples, whose adapter)."""

OneShot = Mapping[tuple[str, str], Sequence[str | None]]
"""(user, question) -> the answers after each retrieved record alone."""


PROFILES = ("pag_k0", "pag_k1")
"""The methods that read the profile summary."""


def answer_table(
    task: Task,
    seed: int,
    answered: Path,
    adapters: Mapping[str, TrainedScorer],
    config: AdapterConfig,
    one_shot: OneShot | None = None,
    no_summary: Collection[tuple[str, str]] = (),
) -> list[AnswerRow]:
    """One row per question with all methods' answers. adapters: `hydra`, `shared` and, where there are, `paper` and
    `unguarded`.

    no_summary: (user, question) whose profile summary the LLM refused.
    """
    table: list[AnswerRow] = []
    by_bucket = (read_rows(answered, [bucket]) for bucket in buckets_of(answered))
    for user_id, bucket, rows in chain.from_iterable(by_bucket):
        by_method = [dict(zip(extra["methods"], row.answers, strict=True)) for row, extra in rows]
        reads = {name: config.as_published() if name == "paper" else config for name in adapters}
        chosen = {
            method: _choose(task, user_id, bucket, rows, samples,
                            [_candidates(answers, samples, reads[adapter]) for answers in by_method],
                            adapters[adapter], reads[adapter])
            for method, (samples, adapter) in ADAPTERS.items() if adapter in adapters
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
            sampled = _candidates(by_method[i], "hydra", config)
            choices = {"oracle_samples": candidates_of(task, sampled, {}, False).texts}
            if config.history_candidates and task.kind != "generation":
                own = extra["own"]
                choices["oracle_candidates"] = candidates_of(task, sampled, own, True).texts
            if one_shot is not None:
                examples = one_shot.get((user_id, row.query_id), ())
                choices["oracle_example"] = tuple(text for text in examples if text is not None)
            scored, length = extra["scored"], len(extra["history"])
            oracles = {name: best_text(task, row.gold, texts) if scored else None for name, texts in choices.items()}
            lacking = missing_methods(by_method[i], config, (user_id, row.query_id) in no_summary)
            table.append(AnswerRow(seed, user_id, row.query_id, row.gold, length, answers, oracles, lacking, scored))
    return table


def missing_methods(by_request: Mapping[str, Sequence[str]], config: AdapterConfig, no_summary: bool) -> frozenset[str]:
    """The methods that lack one of their answers. by_request: the texts that came back."""
    lacking = {
        name.removeprefix("greedy:") for name, texts in by_request.items() if name.startswith("greedy:") and not texts
    }
    short = {
        name for name, texts in by_request.items() if name.startswith("samples:") and len(texts) < config.num_samples
    }
    no_plain = config.zero_shot_candidate and "zero_shot" in lacking
    lacking |= {name for name, (samples, _) in ADAPTERS.items() if no_plain or f"samples:{samples}" in short}
    lacking |= {"self_consistency"} if "samples:bm25" in short else set()
    return frozenset(lacking | set(PROFILES if no_summary else ()))


def refused_summaries(folder: Path) -> set[tuple[str, str]]:
    """(user, question) whose profile summary the LLM refused. folder: of the finished step."""
    if not (folder / "answers").exists():
        return set()
    rows = pq.read_table(folder / "answers", columns=["user_id", "query_id", "errors"]).to_pylist()
    return {(row["user_id"], row["query_id"]) for row in rows if row["errors"][0] is not None}


def _candidates(answers: Mapping[str, tuple[str, ...]], samples: str, config: AdapterConfig) -> tuple[str, ...]:
    """The texts that an adapter chooses from, the plain answer last."""
    plain = answers["greedy:zero_shot"] if config.zero_shot_candidate else ()
    return (*answers[f"samples:{samples}"], *plain)


def best_text(task: Task, gold: str, texts: Sequence[str]) -> str | None:
    """The text that scores best against the gold answer, ties to the first; None without texts."""
    if not texts:
        return None
    return texts[int(np.argmax(row_scores(task, [gold] * len(texts), texts)))]


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
        own = extra["own"]
        made = candidates_of(task, raw, own, config.history_candidates)
        beside: list[tuple[float, ...]] = []
        if adapter.scorer.evidence:
            known = (own, extra["supporters"][prompts], extra["topics"])
            plain = normalise(task, raw[-1]) if config.zero_shot_candidate and raw else ""
            beside += evidence(task, row.text, made.texts, made.samples, *known, plain=plain)
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
