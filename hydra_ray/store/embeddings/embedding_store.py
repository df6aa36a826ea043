"""A store of embeddings, addressed by content: what one run has encoded, no other run encodes again.

    ROOT/SPEC-HASH/FIRST-LAST-DIGEST.parquet

SPEC-HASH is of encoder, pooling, tokens and precision (`EmbeddingSpec`); FIRST and LAST are the shards of a fragment's
keys; DIGEST is of the keys, so that two writers of the same texts write one file. Fragments are only added, each in
one rename: a store is read while others write to it. Embeddings are kept as fp16.

D: numbers of an embedding.
"""

import errno
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hydra_ray.errors import UserError
from hydra_ray.store.embeddings.fragment import UNFINISHED, Fragment, write_fragment
from hydra_ray.store.embeddings.keys import SHARDS, Keys, hex_of, shards_of, text_keys
from hydra_ray.store.embeddings.spec import EmbeddingSpec

SPLIT_ROWS = 512 * SHARDS
"""Embeddings that are written shard by shard; fewer go into one fragment for all shards."""
ABANDONED_S = 86_400.0
"""Age of an unfinished file whose writer was killed."""


class EmbeddingStore:
    """The embeddings of one spec. For one thread at a time; any number of stores may use the folder."""

    def __init__(self, root: Path, spec: EmbeddingSpec) -> None:
        """root: folder of all specs' stores. Nothing is made before the first `append`."""
        self.spec = spec
        self.folder = spec.folder(root)
        self._fragments: dict[str, Fragment] = {}

    @property
    def width(self) -> int | None:
        """D; None while the store is empty."""
        if not self._fragments:
            for name in self._names()[:1]:
                self._fragment(name)
        return next((fragment.width for fragment in self._fragments.values()), None)

    def lookup(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The embeddings of texts, [n, D], in the order given, in one scan; a text may occur more than once.

        Raises:
            UserError: A text has none, or a fragment cannot be used.
        """
        index: dict[str, int] = {}
        places = np.fromiter((index.setdefault(text, len(index)) for text in texts), np.int64, len(texts))
        keys = text_keys(index)
        table, present = self.read(keys)
        if not present.all():
            lacking = np.flatnonzero(~present)
            raise UserError(
                f"{self.folder}: {len(lacking)} of {len(keys)} texts have no embedding (first: "
                f"{hex_of(keys, lacking[0])}); run the encode step again"
            )
        return table[places].astype(np.float32)

    def missing(self, texts: Sequence[str]) -> list[str]:
        """The distinct texts without an embedding, in the order given. Raises UserError as `lookup`."""
        distinct = list(dict.fromkeys(texts))
        present = self.present(text_keys(distinct))
        return [text for text, here in zip(distinct, present, strict=True) if not here]

    def read(self, keys: Keys) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
        """The embeddings of distinct keys: every fragment that may hold one is read once, a row group at a time.

        Args:
            keys: Distinct, in any order, [n].

        Returns:
            Embeddings, [n, D], zeros where there is none ([n, 0] in an empty store); and which of them there are, [n].

        Raises:
            UserError: A fragment is damaged, or of other embeddings.
        """
        order = np.argsort(keys)
        wanted = keys[order]
        present = np.zeros(len(keys), dtype=bool)
        table: NDArray[np.float16] | None = None
        for fragment in self._of_shards(wanted):
            for places, found in fragment.read(wanted):
                if table is None:
                    table = np.zeros((len(keys), fragment.width), dtype=np.float16)
                rows = order[places]
                table[rows], present[rows] = found, True
        return (np.zeros((len(keys), self.width or 0), np.float16) if table is None else table), present

    def present(self, keys: Keys) -> NDArray[np.bool_]:
        """Which of some distinct keys have an embedding, [n]. Raises UserError as `read`."""
        order = np.argsort(keys)
        wanted, found = keys[order], np.zeros(len(keys), dtype=bool)
        for fragment in self._of_shards(wanted):
            found[order] |= fragment.present(wanted)
        return found

    def append(self, keys: Keys, embeddings: NDArray[np.floating]) -> int:
        """Keeps embeddings as fp16; returns how many. Of a key that occurs twice, the first counts.

        Args:
            keys: Of their texts, [n].
            embeddings: [n, D].

        Raises:
            UserError: A number is not finite or larger than fp16 holds (the text is named by its hash), the width is
                not the store's, or the disk is full; what is there stays usable.
        """
        rounded = to_half(keys, embeddings, self.spec.precision)
        if self.width not in (None, rounded.shape[1]):
            raise UserError(
                f"{self.folder}: embeddings of {rounded.shape[1]} numbers do not belong here, the kept ones have "
                f"{self.width}; remove the folder, and they are made again"
            )
        unique, first = np.unique(keys, return_index=True)
        if not len(unique):
            return 0
        shards = shards_of(unique)
        cuts = (np.flatnonzero(np.diff(shards)) + 1)[: None if len(unique) >= SPLIT_ROWS else 0]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for places in np.split(np.arange(len(unique)), cuts):
                of_part = unique[places]
                digest = hashlib.blake2b(of_part.tobytes(), digest_size=8).hexdigest()
                name = f"{shards[places[0]]:02x}-{shards[places[-1]]:02x}-{digest}.parquet"
                write_fragment(self.folder / name, of_part, rounded[first[places]], self.spec)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise UserError(
                    f"{self.folder}: the disk is full ({error.strerror}) while embeddings are written; free some space "
                    "and run again, finished ones stay"
                ) from None
            raise UserError(f"{self.folder}: embeddings cannot be written ({error.strerror or error})") from None
        return len(unique)

    def sweep(self) -> None:
        """Removes what writers that were killed more than a day ago have left."""
        for file in self.folder.glob(f"*{UNFINISHED}"):
            if time.time() - file.stat().st_mtime > ABANDONED_S:
                file.unlink(missing_ok=True)

    def _of_shards(self, wanted: Keys) -> Iterator[Fragment]:
        """The fragments that may hold one of some keys in order, by name; no others are opened."""
        shards = np.unique(shards_of(wanted))
        for name in self._names() if len(shards) else ():
            first, last = (int(part, 16) for part in name.split("-")[:2])
            if np.searchsorted(shards, first) < np.searchsorted(shards, last, side="right"):
                yield self._fragment(name)

    def _names(self) -> list[str]:
        """The fragments that are there now, in order; what is known of others is forgotten."""
        try:
            names = sorted(entry.name for entry in os.scandir(self.folder) if entry.name.endswith(".parquet"))
        except FileNotFoundError:
            names = []
        if not self._fragments.keys() <= set(names):
            self._fragments = {name: self._fragments[name] for name in names if name in self._fragments}
        return names

    def _fragment(self, name: str) -> Fragment:
        if name not in self._fragments:
            width = next((fragment.width for fragment in self._fragments.values()), None)
            self._fragments[name] = Fragment(self.folder / name, self.spec, width)
        return self._fragments[name]


def to_half(keys: Keys, embeddings: NDArray[np.floating], precision: str) -> NDArray[np.float16]:
    """Embeddings as they are kept, [n, D].

    Raises:
        UserError: A number is not finite, or larger than fp16 holds; the text is named by its hash.
    """
    with np.errstate(over="ignore"):
        rounded: NDArray[np.float16] = embeddings.astype(np.float16)
    if np.isfinite(rounded).all():
        return rounded
    place = int(np.flatnonzero(~np.isfinite(rounded).all(1))[0])
    if np.isfinite(embeddings[place]).all():
        what, advice = "is larger than fp16 holds", "use an encoder or a pooling with smaller outputs"
    else:
        what = "is not finite"
        advice = "set model.precision=fp32" if precision != "fp32" else "check model.encoder"
    raise UserError(f"the embedding of the text {hex_of(keys, place)} {what} (precision {precision}); {advice}")
