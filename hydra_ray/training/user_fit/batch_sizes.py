"""How many users are fitted at once: as many as the device has memory for. Pure.

Shapes: R rows of the user with most rows in a batch, Z the width of a pair embedding, Q queries of a user.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

FLOAT, INDEX = 4, 8
"""Bytes of a float32 and of an index."""
PAIR_EMBEDDINGS = 10
"""Arrays as large as the users' pair embeddings [U, R, Z] at the peak: the rows themselves, those that are learned and
tested while the epochs are chosen, and of the guard's refit with the hidden states, the shared layer's and their
gradient, some of them twice while users who are done are left out."""
DELTAS = 10
"""Arrays as large as the users' deltas: those of the fit and of the guard's refit, moments, gradients and a copy."""


@dataclass(frozen=True, slots=True)
class BatchSizes:
    """Where users are cut into batches.

    Attributes:
        most: Users of a batch at most.
        budget: Bytes that a batch may take; None: `most` alone decides, as on the CPU, whose caches it is chosen for.
        width: Z.
        numbers: Of one user's delta.
    """

    most: int
    budget: int | None
    width: int
    numbers: int

    def user_bytes(self, rows: int) -> int:
        """What a fit takes for each user of a batch whose largest has so many rows.

        Besides pair embeddings and deltas: one system of equations per user (`bayesian_linear`), the smaller of rows
        and features wide, and for each row the counts of its queries, of which there are no more than rows.
        """
        rows = max(1, rows)
        system = min(rows, self.width + 1) ** 2
        floats = PAIR_EMBEDDINGS * rows * (self.width + 1) + DELTAS * self.numbers + 4 * system
        return FLOAT * floats + 3 * INDEX * rows * rows

    def full(self, rows: Sequence[int]) -> bool:
        """Whether users with so many rows each make a batch or more."""
        return len(rows) >= self.most or len(list(self.cut(rows))) > 1

    def cut(self, rows: Sequence[int]) -> Iterator[slice]:
        """The users, who have so many rows each, in batches; a user who is too large for the budget is one alone."""
        start, longest = 0, 0
        for i, count in enumerate(rows):
            taller = max(longest, count)
            room = self.budget is None or (i - start + 1) * self.user_bytes(taller) <= self.budget
            if i > start and (i - start >= self.most or not room):
                yield slice(start, i)
                start, taller = i, count
            longest = taller
        if len(rows) > start:
            yield slice(start, len(rows))
