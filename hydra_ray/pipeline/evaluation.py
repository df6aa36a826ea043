"""From the evaluated questions' answers to one table row per question: what every method answered."""

from pathlib import Path

from hydra_ray.core.feedback import Row
from hydra_ray.core.select import argmax, self_consistency, user_majority
from hydra_ray.core.tasks import Task
from hydra_ray.core.text import normalise
from hydra_ray.pipeline.rows import buckets_of, read_rows
from hydra_ray.report import AnswerRow
from hydra_ray.train.artifact import TrainedScorer
from hydra_ray.train.groups import Group

ADAPTERS = {"hydra_adapter": ("bm25", "hydra"), "hydra_shared": ("shared", "shared"), "hydra": ("hydra", "hydra")}
"""Method -> (whose samples, whose adapter)."""


def answer_table(task: Task, seed: int, answered: Path, adapters: dict[str, TrainedScorer]) -> list[AnswerRow]:
    """One row per question with the answers of all methods. adapters: `hydra` and `shared`."""
    table: list[AnswerRow] = []
    for user_id, bucket, rows in read_rows(answered, buckets_of(answered)):
        by_method = [dict(zip(extra["methods"], row.answers, strict=True)) for row, extra in rows]
        chosen = {
            method: _choose(task, user_id, bucket, [row for row, _ in rows],
                            [answers[f"samples:{samples}"] for answers in by_method], adapters[adapter])
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
    task: Task, user_id: str, bucket: int, rows: list[Row], samples: list[tuple[str, ...]], adapter: TrainedScorer
) -> list[str | None]:
    """The adapter's best sample for each question; the first sample where none holds an answer."""
    candidates = [list(dict.fromkeys(a for a in (normalise(task, text) for text in texts) if a)) for texts in samples]
    groups = [
        Group(user_id, bucket, row.query_id, row.text, tuple(texts), (0.0,) * len(texts))
        for row, texts in zip(rows, candidates, strict=True)
    ]
    scores = adapter.score(groups)
    picked: list[str | None] = []
    for texts, raw, score in zip(candidates, samples, scores, strict=True):
        picked.append(texts[argmax([float(x) for x in score])] if texts else (raw[0] if raw else None))
    return picked
