"""The topic models of a trial: what texts alone say of their answers, learned from the training users' histories."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hydra_ray.core.answers.parse import is_label, parse_gold
from hydra_ray.core.hashing import stable_hash
from hydra_ray.core.retrieval import TextEncode
from hydra_ray.core.tasks import Task
from hydra_ray.core.topic_classifier import PARTS, TopicModels, fit_topics, part_of
from hydra_ray.data.reader import read_users

ITEMS_OF_USER, ITEMS = 200, 20_000
"""So many items are read of one user and of all together; drawn by hash, the same every time."""


class _Labelled(NamedTuple):
    """A text with the label that its user gave it."""

    user_id: str
    text: str
    answer: str


def train_topics(
    task: Task, users_dir: Path, users: Sequence[str], encode: TextEncode, out: Path, seed: int
) -> dict[str, Any]:
    """Fits the models on the users' items that no evaluated question is among, and saves them. Returns counts."""
    rows: list[_Labelled] = []
    for user in read_users(users_dir, user_ids=set(users)):
        items = [(x, parse_gold(task, x.answer)) for x in user.safe_history() if x.text]
        kept = sorted(items, key=lambda pair: stable_hash(seed, user.user_id, pair[0].item_id))[:ITEMS_OF_USER]
        rows += [_Labelled(user.user_id, x.text, answer) for x, answer in kept if is_label(task, answer)]
    rows = sorted(rows, key=lambda row: stable_hash(seed, *row))[:ITEMS]
    vectors_ND = encode([row.text for row in rows])
    part_N = np.array([part_of(row.user_id) for row in rows])
    answers = [row.answer for row in rows]

    def fitted(kept_N: Any) -> Any:
        return fit_topics(vectors_ND[kept_N], [answers[i] for i in np.flatnonzero(kept_N)], task.labels)

    everything_N = np.ones(len(rows), dtype=bool)
    TopicModels(fitted(everything_N), {p: fitted(part_N != p) for p in range(PARTS)}).save(out)
    return {"items": len(rows), "labels": len(set(answers))}
