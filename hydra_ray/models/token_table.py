"""Tokenised texts, laid one behind the other, and batches of them.

Batches are cut out and padded array by array: with a Python list a text, that would take longer than a GPU needs for
the batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class TokenTable:
    """n texts.

    Attributes:
        columns: Name of a model's input -> int32 [tokens of all texts], `input_ids` among them.
        starts: Where each text begins, and where the last one ends, int64 [n + 1]. No text is empty.
    """

    columns: Mapping[str, NDArray[np.int32]]
    starts: NDArray[np.int64]

    @classmethod
    def from_lists(cls, lists: Mapping[str, Sequence[Sequence[int]]]) -> "TokenTable":
        """lists: name -> one list of numbers a text, equally long under each name."""
        starts = np.cumsum([0, *map(len, lists["input_ids"])], dtype=np.int64)
        columns = {
            name: np.fromiter(chain.from_iterable(values), np.int32, int(starts[-1])) for name, values in lists.items()
        }
        return cls(columns, starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, [n]."""
        return np.diff(self.starts)

    def padded(self, index: Sequence[int], padding: Mapping[str, int]) -> dict[str, Tensor]:
        """Some texts as one batch, int64 [len(index), longest].

        Args:
            index: Which texts, at least one.
            padding: What stands right of a shorter text, by name; 0 for other names.
        """
        places = np.asarray(index, dtype=np.int64)
        starts_n, lengths_n = self.starts[places], self.lengths[places]
        column = np.arange(int(lengths_n.max()))
        there = column < lengths_n[:, None]
        source = np.where(there, starts_n[:, None] + column, 0)
        return {
            name: torch.from_numpy(np.where(there, values[source], padding.get(name, 0)).astype(np.int64))
            for name, values in self.columns.items()
        }
