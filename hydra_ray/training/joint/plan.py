"""Who trains what, when: global batches cut by ownership, so that the result does not depend on the worker count."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Step:
    """One optimiser step: the examples (global indices) of every worker, and the labelled rows of all of them."""

    examples: tuple[tuple[int, ...], ...]
    rows: int


def assign_buckets(buckets: Sequence[int], rows: Sequence[int], workers: int) -> dict[int, int]:
    """bucket -> the worker that owns its users: their heads, optimiser state and rows.

    buckets[i], rows[i]: bucket and labelled rows of example i. The bucket with the most rows first, each to the worker
    with the fewest so far (Graham 1969, longest processing time first: at worst 4/3 of the best there is); ties go to
    the lower number.
    """
    load: Counter[int] = Counter()
    for bucket, count in zip(buckets, rows, strict=True):
        load[bucket] += count
    given = [0] * workers
    owner = {}
    for bucket in sorted(load, key=lambda b: (-load[b], b)):
        owner[bucket] = min(range(workers), key=lambda worker: (given[worker], worker))
        given[owner[bucket]] += load[bucket]
    return owner


def imbalance(buckets: Sequence[int], rows: Sequence[int], owner: Mapping[int, int]) -> float:
    """Rows of the busiest worker over the mean of all that own something; 1 is perfect."""
    given: Counter[int] = Counter()
    for bucket, count in zip(buckets, rows, strict=True):
        given[owner[bucket]] += count
    return max(given.values()) * len(given) / max(1, given.total()) if given else 1.0


def plan_epoch(
    buckets: Sequence[int],
    rows: Sequence[int],
    owner: Mapping[int, int],
    workers: int,
    batch_rows: int,
    seed: int,
    epoch: int,
) -> list[Step]:
    """The steps of one epoch over all ranking examples.

    buckets[i], rows[i]: bucket and labelled rows of example i. The examples are shuffled by (seed, epoch), packed in
    that order into global batches of at least `batch_rows` rows, and each batch is cut by ownership. Every example with
    a labelled row comes exactly once, and every worker takes part in every step, if with an empty share: nothing is
    dropped or repeated to make workers equal.
    """
    order = np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(len(buckets))
    steps: list[Step] = []
    share: list[list[int]] = [[] for _ in range(workers)]
    count = 0
    for index in map(int, order):
        if rows[index] == 0:
            continue
        share[owner[buckets[index]]].append(index)
        count += rows[index]
        if count >= batch_rows:
            steps.append(Step(tuple(map(tuple, share)), count))
            share, count = [[] for _ in range(workers)], 0
    if count:
        steps.append(Step(tuple(map(tuple, share)), count))
    return steps
