"""What an encoder-decoder is asked at once: rows of like settings and length. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra_ray.llm.types import Finish


@dataclass(frozen=True, slots=True)
class PromptRow:
    """One answer that is wanted.

    Attributes:
        ids: The encoder's input, special tokens included.
        max_tokens: Of the answer.
        beams: How many are searched; 1 for a sample.
        temperature: 0: the most likely answer.
        seed: Of a sample's draws.
    """

    ids: tuple[int, ...]
    max_tokens: int
    beams: int = 1
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class RowAnswer:
    """A row's answer.

    Attributes:
        text: Without special tokens; "" where there is nothing but white space.
        tokens: Of the answer, the end token included.
        finish: How it ended.
    """

    text: str
    tokens: int
    finish: Finish


def next_batch(waiting: Sequence[PromptRow], most: int) -> list[int]:
    """Places of the rows to answer next, the shortest prompt first: the one that waits longest, and of those with its
    settings the ones whose length is nearest.

    Args:
        waiting: At least one row, in order of arrival.
        most: Sequences in a batch; each beam is one. A row whose beams are more goes alone.
    """
    oldest = waiting[0]
    alike = [i for i, row in enumerate(waiting) if (row.max_tokens, row.beams) == (oldest.max_tokens, oldest.beams)]
    alike.sort(key=lambda i: abs(len(waiting[i].ids) - len(oldest.ids)))
    return sorted(alike[: max(1, most // oldest.beams)], key=lambda i: len(waiting[i].ids))
