"""Who trains what, when: global batches cut by ownership, so that the result does not depend on the worker count."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Step:
    """One optimiser step: the groups (global indices) of every worker, and the labelled rows of all of them."""

    groups: tuple[tuple[int, ...], ...]
    rows: int


def owner_of(bucket: int, workers: int) -> int:
    """The worker that owns a bucket's users: their heads, optimiser state and rows."""
    return bucket % workers


def plan_epoch(
    buckets: Sequence[int], rows: Sequence[int], workers: int, batch_rows: int, seed: int, epoch: int
) -> list[Step]:
    """The steps of one epoch over all groups.

    buckets[i], rows[i]: bucket and labelled rows of group i. The groups are shuffled by (seed, epoch), packed in that
    order into global batches of at least `batch_rows` rows, and each batch is cut by ownership. Every group comes
    exactly once; a worker that owns nothing of a batch takes part with an empty share.
    """
    order = np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(len(buckets))
    steps: list[Step] = []
    share: list[list[int]] = [[] for _ in range(workers)]
    count = 0
    for index in map(int, order):
        if rows[index] == 0:
            continue
        share[owner_of(buckets[index], workers)].append(index)
        count += rows[index]
        if count >= batch_rows:
            steps.append(Step(tuple(map(tuple, share)), count))
            share, count = [[] for _ in range(workers)], 0
    if count:
        steps.append(Step(tuple(map(tuple, share)), count))
    return steps
