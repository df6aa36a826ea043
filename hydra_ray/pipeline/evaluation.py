"""From the evaluated questions' answers to one table row per question: what every method answered."""

from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from hydra_ray.config import AdapterConfig
from hydra_ray.core.candidates import candidates_of
from hydra_ray.core.features import AnswerProfile
from hydra_ray.core.metrics import row_scores
from hydra_ray.core.selection import self_consistency, user_majority
from hydra_ray.core.tasks import Task
from hydra_ray.inference.scoring import score_requests
from hydra_ray.inference.selection import CandidateSet, adapter_features, make_candidates, select
from hydra_ray.inference.types import ScoreRequest
from hydra_ray.pipeline.llm_rows import buckets_of, read_rows
from hydra_ray.pipeline.stage_rows import EvalRow
from hydra_ray.report import AnswerRow
from hydra_ray.training.artifacts.trained_scorer import TrainedScorer

ADAPTERS = {
    "hydra_adapter": ("bm25", "hydra"),
    "hydra_shared": ("shared", "shared"),
    "hydra_paper": ("hydra", "paper"),
    "hydra_unguarded": ("hydra", "unguarded"),
    "hydra": ("hydra", "hydra"),
}
"""Method -> (whose samples, whose adapter)."""

OneShot = Mapping[tuple[str, str], Sequence[str | None]]
"""(user, question) -> the answers after each retrieved item alone."""


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
    by_bucket = (read_rows(EvalRow, answered, [bucket]) for bucket in buckets_of(answered))
    for of_user in chain.from_iterable(by_bucket):
        user_id, rows = of_user.user_id, of_user.rows
        by_method = [row.by_method for row in rows]
        reads = {name: config.as_published() if name == "paper" else config for name in adapters}
        chosen = {
            method: _choose(task, user_id, rows, by_method, samples, adapters[adapter], reads[adapter])
            for method, (samples, adapter) in ADAPTERS.items() if adapter in adapters
        }  # fmt: skip
        for i, row in enumerate(rows):
            query = row.query
            answers: dict[str, str | None] = {
                name.removeprefix("greedy:"): texts[0] if texts else None
                for name, texts in by_method[i].items()
                if name.startswith("greedy:")
            }
            samples = by_method[i]["samples:bm25"]
            answers["user_majority"] = user_majority(task, row.history, task.labels[0] if task.labels else "")
            answers["self_consistency"] = self_consistency(task, samples) if samples else None
            answers |= {method: picks[i] for method, picks in chosen.items()}
            made = _candidates(task, by_method[i], "hydra", row.own, config)
            choices = {"oracle_samples": tuple(dict.fromkeys(made.samples))}
            if config.history_candidates and task.kind != "generation":
                choices["oracle_candidates"] = made.texts
            if one_shot is not None:
                examples = one_shot.get((user_id, query.query_id), ())
                choices["oracle_example"] = tuple(text for text in examples if text is not None)
            scored, length = row.scored, len(row.history)
            oracles = {name: best_text(task, query.gold, texts) if scored else None for name, texts in choices.items()}
            lacking = missing_methods(by_method[i], config, (user_id, query.query_id) in no_summary)
            table.append(
                AnswerRow(seed, user_id, query.query_id, query.gold, length, answers, oracles, lacking, scored)
            )
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


def _candidates(
    task: Task, answers: Mapping[str, tuple[str, ...]], samples: str, own: AnswerProfile, config: AdapterConfig
) -> CandidateSet:
    """What an adapter chooses from. samples: whose."""
    return make_candidates(task, answers[f"samples:{samples}"], answers["greedy:zero_shot"], own, config)


def chosen_from(
    task: Task,
    method: str,
    by_request: Mapping[str, tuple[str, ...]],
    own: AnswerProfile,
    config: AdapterConfig,
) -> tuple[str, ...] | None:
    """The distinct texts that a method chose its answer from; None for a method that does not choose.

    by_request: the texts that came back. own: the user's own answers.
    """
    if method == "self_consistency":
        return candidates_of(task, by_request["samples:bm25"], {}, False).texts
    if method not in ADAPTERS:
        return None
    samples, adapter = ADAPTERS[method]
    read = config.as_published() if adapter == "paper" else config
    return _candidates(task, by_request, samples, own, read).texts


def best_text(task: Task, gold: str, texts: Sequence[str]) -> str | None:
    """The text that scores best against the gold answer, ties to the first; None without texts."""
    if not texts:
        return None
    return texts[int(np.argmax(row_scores(task, [gold] * len(texts), texts)))]


def _choose(
    task: Task,
    user_id: str,
    rows: Sequence[EvalRow],
    by_method: Sequence[Mapping[str, tuple[str, ...]]],
    samples: str,
    adapter: TrainedScorer,
    config: AdapterConfig,
) -> list[str | None]:
    """The adapter's answer for each question; the first sample where there is no candidate.

    samples: whose, and whose weights of the retrieved items speak for answers.
    """
    width, made, requests = adapter.scorer.evidence, list[CandidateSet](), list[ScoreRequest]()
    for row, answers in zip(rows, by_method, strict=True):
        text, behind = row.query.text, row.supporters[samples]
        candidates = _candidates(task, answers, samples, row.own, config)
        features = adapter_features(task, text, candidates, row.own, behind, row.topics, width)
        made.append(candidates)
        requests.append(ScoreRequest("adapter", user_id, 0, text, candidates.texts, features))
    found: list[str | None] = []
    for candidates, scores, answers in zip(made, score_requests(adapter, requests), by_method, strict=True):
        order = select(task, candidates, scores, config).order
        raw = answers[f"samples:{samples}"]
        found.append(candidates.texts[order[0]] if order else raw[0] if raw else None)
    return found
