"""`python -m hydra_ray.bench.bm25 FOLDER...`: which BM25 finds the items that carry the query's own answer. No LLM.

FOLDER: an ingested data set, the folder that `hydra-ray ingest` prints. Every question with a gold answer is asked of
its history, whole and cut to the newest 2, 3, 4 and 5 items. Figures of the best-ranked item, and of the best four:

    labels     share whose answer is the gold one; share of queries where one of four carries it
    rating     mean absolute error of the answer; of the best of four (lower is better)
    free text  ROUGE-1 of the answer; of the best of four

After each variant, its difference from LaMP's (`okapi`, `whitespace`) with a 95 % interval over users.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from hydra_ray.core.bm25 import BM25Kind, BM25Tokens, BM25Variant
from hydra_ray.core.metrics import row_scores
from hydra_ray.core.retrieval import BM25Retriever
from hydra_ray.core.tasks import Task
from hydra_ray.core.types import HistoryItem
from hydra_ray.data.reader import read_users

KINDS = tuple(BM25Kind(variant, tokens) for variant, tokens in product(get_args(BM25Variant), get_args(BM25Tokens)))
SHORT = (2, 3, 4, 5)
LENGTHS = ((1, 9), (10, 29), (30, 99), (100, 10**9))
RESAMPLES = 2000

Query = tuple[str, str, str, Sequence[HistoryItem]]
"""User, text, gold, history."""


def queries(folder: Path) -> Iterator[Query]:
    """The questions with a gold answer and a history."""
    for user in read_users(folder):
        for question in user.questions:
            history = [item for item in user.history_of(question) if item.answer]
            if question.gold is not None and history:
                yield user.user_id, question.text, question.gold, history


def scores(task: Task, cases: Sequence[Query], kind: BM25Kind) -> NDArray[np.float64]:
    """float64 [queries, 2]: of the best item and of the best of four; higher is better (`row_scores`)."""
    found = []
    for _, text, gold, history in cases:
        top = [item.answer for item, _ in BM25Retriever(history, kind).top(text, 4)]
        each = row_scores(task, [gold] * len(top), top)
        found.append((each[0], each.max()))
    return np.array(found)


def interval(users: Sequence[str], gap: NDArray[np.float64]) -> tuple[float, float]:
    """95 % percentile interval of the mean gap, users resampled with all their queries."""
    names = {user: i for i, user in enumerate(dict.fromkeys(users))}
    place = [names[user] for user in users]
    sums, counts = np.bincount(place, gap), np.bincount(place)
    times = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)
    low, high = np.percentile((times @ sums) / (times @ counts), [2.5, 97.5])
    return float(low), float(high)


def table(task: Task, cases: Sequence[Query], name: str) -> list[str]:
    """Lines of one table."""
    if not cases:
        return []
    users = [user for user, *_ in cases]
    sign = 1 if task.higher_is_better else -1
    lines = [
        f"{name}: {len(cases)} queries of {len(set(users))} users",
        "  variant            first   of four   against okapi, whitespace",
    ]
    base = scores(task, cases, KINDS[0])
    for kind in KINDS:
        values = scores(task, cases, kind)
        first, four = sign * values.mean(axis=0)
        gap = values[:, 0] - base[:, 0]
        low, high = interval(users, gap)
        against = "" if kind == KINDS[0] else f"   {gap.mean():+.3f} ({low:+.3f} to {high:+.3f})"
        lines.append(f"  {kind.variant:5s} {kind.tokens:10s}  {first:6.3f}    {four:6.3f}{against}")
    return lines


def report(folder: Path) -> list[str]:
    """All tables of one data set."""
    task = Task.model_validate(json.loads((folder / "manifest.json").read_text())["config"]["task"])
    cases = list(queries(folder))
    cut = [(u, text, gold, history[-n:]) for u, text, gold, history in cases for n in SHORT if len(history) >= n]
    lines = [f"# {task.name}, {task.primary_metric}, {folder.name}"]
    lines += table(task, cases, "whole histories")
    for low, high in LENGTHS:
        some = [query for query in cases if low <= len(query[3]) <= high]
        lines += table(task, some, f"histories of {low} to {high}" if high < 10**9 else f"histories of {low} and more")
    return lines + table(task, cut, "cut to the newest 2 to 5")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m hydra_ray.bench.bm25", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="an ingested data set")
    for folder in parser.parse_args().folders:
        print("\n".join(report(folder)), flush=True)


if __name__ == "__main__":
    main()
