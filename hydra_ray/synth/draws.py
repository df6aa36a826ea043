"""Random numbers of one user: a function of (namespace, task, seed, index) and of nothing else."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

_BLOCK = 512


class Draws:
    """A stream of uniform numbers from Philox, keyed by a hash of `parts`.

    The same parts give the same stream on every machine and in every process, whatever was drawn for other users.
    """

    def __init__(self, *parts: object) -> None:
        digest = hashlib.blake2b("/".join(str(part) for part in parts).encode(), digest_size=16).digest()
        self._generator = np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
        self._block: list[float] = []

    def uniform(self) -> float:
        """A number in [0, 1)."""
        if not self._block:
            self._block = self._generator.random(_BLOCK).tolist()
        return self._block.pop()

    def below(self, n: int) -> int:
        """An integer in [0, n)."""
        return int(self.uniform() * n)

    def between(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return low + self.below(high - low + 1)

    def pick(self, options: Sequence[T]) -> T:
        """One of `options`."""
        return options[int(self.uniform() * len(options))]

    def sample(self, options: Sequence[T], count: int) -> list[T]:
        """`count` different ones of `options`, in random order."""
        pool = list(options)
        chosen = []
        for _ in range(count):
            chosen.append(pool.pop(int(self.uniform() * len(pool))))
        return chosen
