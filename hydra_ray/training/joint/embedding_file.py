"""Embeddings of more texts than memory should hold: in a file, of which a step reads the rows that it needs.

T: texts. S: sentences of one. D: numbers of an embedding.
"""

import errno
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hydra_ray.errors import UserError
from hydra_ray.models.scorer import PairBatch

MEMORY_SHARE = 0.25
"""Of what a worker may still fill: embeddings that take more are kept in a file."""
CHUNK = 65_536
"""Texts that are encoded, or read from their store, and written at a time."""


class EmbeddingFile:
    """float [T, ...], as it was written: float16 where a store keeps the embeddings so, else float32.

    The file has no name, lies in the folder for temporary files and goes with the process. What of it was read last is
    in the operating system's cache as long as there is memory to spare.
    """

    def __init__(self, shape: tuple[int, ...], dtype: type[np.floating]) -> None:
        """Takes the room. Raises UserError where the disk has too little."""
        self.shape, self._dtype = shape, np.dtype(dtype)
        self._row_bytes = int(np.prod(shape[1:])) * self._dtype.itemsize
        self._file = tempfile.TemporaryFile(prefix="hydra_ray_embeddings_")  # noqa: SIM115
        size = max(1, shape[0] * self._row_bytes)
        try:
            os.posix_fallocate(self._file.fileno(), 0, size)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise UserError(
                f"{tempfile.gettempdir()}: no room for the embeddings of {shape[0]} texts ({size / 1e9:.1f} GB): make "
                "room, set TMPDIR to a larger disk, or train with more workers"
            ) from None
        self._rows: NDArray[np.floating] = np.memmap(self._file, self._dtype, "r+", shape=shape)

    def write(self, start: int, values: NDArray[np.floating]) -> None:
        """Writes rows from `start` on."""
        # Not through the map, whose pages would count as this process's until they are on the disk.
        content = np.ascontiguousarray(values, self._dtype)
        os.pwrite(self._file.fileno(), content.tobytes(), start * self._row_bytes)

    def rows(self, index: NDArray[np.int64]) -> Tensor:
        """float32 [len(index), ...], in memory."""
        return torch.from_numpy(self._rows[index].astype(np.float32))

    def chunks(self) -> Iterator[Tensor]:
        """All rows in order, some at a time."""
        for start in range(0, self.shape[0], CHUNK):
            yield self.rows(np.arange(start, min(start + CHUNK, self.shape[0])))


def read_all(texts: Sequence[str], encode: Callable[[Sequence[str]], Tensor]) -> Iterator[tuple[int, Tensor]]:
    """The embeddings of all texts, some at a time: the place of the first, and [n, ...]. encode: of some texts."""
    for start in range(0, len(texts), CHUNK):
        yield start, encode(texts[start : start + CHUNK])


def read_batch(file: EmbeddingFile, batch: PairBatch) -> tuple[Tensor, PairBatch]:
    """The embeddings that a batch on the CPU reads, [n, ...], each once, and the batch as it counts in them."""
    queries = batch.query.numel()
    used, place = torch.unique(torch.cat([batch.query, batch.candidates.reshape(-1)]), return_inverse=True)
    renumbered = replace(batch, query=place[:queries], candidates=place[queries:].view_as(batch.candidates))
    return file.rows(used.numpy()), renumbered
