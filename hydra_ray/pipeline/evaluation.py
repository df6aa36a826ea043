"""From the evaluated questions' answers to one table row per question: what every method answered."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from hydra_ray.config import Config
from hydra_ray.core.metrics import row_scores
from hydra_ray.core.tasks import Task
from hydra_ray.methods.method import Method, method_named
from hydra_ray.methods.question import SAMPLES
from hydra_ray.pipeline.answered import Adapters, EvaluatedQuestion, EvaluatedUser
from hydra_ray.pipeline.llm_rows import all_rows
from hydra_ray.pipeline.stage_rows import EvalRow
from hydra_ray.report import AnswerRow

USERS_AT_ONCE = 256
"""Users whose candidates' embeddings are read in one scan."""
OneShot = Mapping[tuple[str, str], Sequence[str | None]]
"""(user, question) -> the answers after each retrieved item alone."""


def answer_table(
    task: Task,
    seed: int,
    answered: Path,
    methods: Sequence[str],
    adapters: Adapters,
    config: Config,
    no_summary: Collection[tuple[str, str]] = (),
    trained: Path | None = None,
    buckets: Sequence[int] | None = None,
) -> list[AnswerRow]:
    """One row per question of a step with the answers of its methods; of those without their adapter, none.

    no_summary: (user, question) whose profile summary the LLM refused. trained: what the only method has learned.
    buckets: of the users whose questions are answered; None: all.
    """
    shown = {name: method_named(name) for name in methods}
    shown = {name: method for name, method in shown.items() if method.adapter in (None, *adapters)}
    table: list[AnswerRow] = []
    all_users = all_rows(EvalRow, answered, buckets)
    while rows := list(islice(all_users, USERS_AT_ONCE)):
        users = [EvaluatedUser(task, config, one.user_id, one.rows, adapters, trained) for one in rows]
        texts = [text for user in users for text in user.texts()]
        for scorer in adapters.values():
            scorer.prefetch(texts)
        for question in (question for user in users for question in user.questions):
            answers: dict[str, str | None] = {}
            missing: set[str] = set()
            calls: dict[str, tuple[str, ...]] = {}
            row, query = question.row, question.row.query
            user_id = query.user_id
            for name, method in shown.items():
                answers[name], lacking = answer_of(question, method)
                calls[name] = tuple(question.read)
                if lacking or (method.summary and (user_id, query.query_id) in no_summary):
                    missing.add(name)
            length = len(row.history)
            table.append(
                AnswerRow(
                    seed,
                    user_id,
                    query.query_id,
                    query.gold,
                    length,
                    answers,
                    missing=frozenset(missing),
                    scored=row.scored,
                    calls=calls,
                )
            )
    return table


def joined(rows: Sequence[AnswerRow], others: Sequence[AnswerRow]) -> list[AnswerRow]:
    """The rows with the answers of further methods to the same questions. others: of these questions, or of more."""
    found = {(row.user_id, row.question_id): row for row in others}
    pairs = ((row, found[row.user_id, row.question_id]) for row in rows)
    return [
        replace(
            row,
            answers={**row.answers, **other.answers},
            missing=row.missing | other.missing,
            calls={**row.calls, **other.calls},
        )
        for row, other in pairs
    ]


def answer_of(question: EvaluatedQuestion, method: Method) -> tuple[str | None, bool]:
    """A method's answer, and whether it lacks one of its calls' texts, whatever it answers without."""
    question.start()
    return method.answer(question), question.short


def with_oracles(
    task: Task, rows: Sequence[AnswerRow], answered: Path, config: Config, one_shot: OneShot | None = None
) -> list[AnswerRow]:
    """The rows of the step in `answered` with the best answers among those that HYDRA's parts choose from."""
    choices: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {}
    for of_user in all_rows(EvalRow, answered):
        for found in of_user.rows:
            made = EvaluatedQuestion(task, config, found, None).candidate_set(f"{SAMPLES}hydra", "hydra")
            key = (of_user.user_id, found.query.query_id)
            choices[key] = {"oracle_samples": tuple(dict.fromkeys(made.samples))}
            if config.adapter.history_candidates and task.closed:
                choices[key]["oracle_candidates"] = made.texts
            if one_shot is not None:
                choices[key]["oracle_example"] = tuple(text for text in one_shot.get(key, ()) if text is not None)
    return [
        replace(
            row,
            oracles={
                name: best_text(task, row.gold, texts) if row.scored else None
                for name, texts in choices[row.user_id, row.question_id].items()
            },
        )
        for row in rows
    ]


def refused_summaries(folder: Path) -> set[tuple[str, str]]:
    """(user, question) whose profile summary the LLM refused. folder: of the finished step."""
    if not (folder / "answers").exists():
        return set()
    rows = pq.read_table(folder / "answers", columns=["user_id", "query_id", "errors"]).to_pylist()
    return {(row["user_id"], row["query_id"]) for row in rows if row["errors"][0] is not None}


def best_text(task: Task, gold: str, texts: Sequence[str]) -> str | None:
    """The text that scores best against the gold answer, ties to the first; None without texts."""
    if not texts:
        return None
    return texts[int(np.argmax(row_scores(task, [gold] * len(texts), texts)))]
