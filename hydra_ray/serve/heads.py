"""Users' heads as a running service needs them: a bounded number in memory, a new version taken over while it runs."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from hydra_ray.errors import UserError
from hydra_ray.models.heads import Deltas
from hydra_ray.store.head_store import HeadStore

ENTRY_BYTES = 600
"""What an entry costs beside its numbers: two arrays, their dictionary, its slot and the id (measured with tracemalloc:
585 at 100,000 `linear` heads)."""

Head = dict[str, NDArray[np.float32]]


class LiveHeads:
    """Heads of one module. `prepare` reads what a batch needs, `of` hands it out; nothing else reads the store.

    hits, misses: users found in memory and read so far.
    """

    def __init__(self, uri: str, base: str, most_bytes: int) -> None:
        """base: fingerprint of the base that the heads must belong to. Raises UserError as `HeadStore.open`."""
        self._store = HeadStore.open(uri)
        self._store.spec.check(replace(self._store.spec, base=base), uri)
        self._most = max(1, most_bytes // (self._store.spec.row_bytes + ENTRY_BYTES))
        self._kept: OrderedDict[str, Head | None] = OrderedDict()
        self._ready: dict[str, Head | None] = {}
        self.hits = self.misses = 0

    @property
    def version(self) -> int:
        """Of the store, as `of` sees it."""
        return self._store.version

    @property
    def bytes(self) -> int:
        """What the kept heads take."""
        return len(self._kept) * (self._store.spec.row_bytes + ENTRY_BYTES)

    def refresh(self) -> None:
        """Takes over the latest version; what was read before it is forgotten."""
        before = self._store.version
        if self._store.refresh() != before:
            self._kept.clear()

    def prepare(self, users: Mapping[str, int]) -> dict[str, str]:
        """Makes the heads of these users ready for `of`. users: stored id -> version that must be seen at least.

        Returns user -> why the head cannot be read; `of` gives the population head for those.
        """
        if max(users.values(), default=0) > self.version:
            self.refresh()
        problems: dict[str, str] = {}
        self._ready = {user: self._kept[user] for user in users if user in self._kept}
        missing = [user for user in users if user not in self._ready]
        self.hits += len(self._ready)
        self.misses += len(missing)
        read: dict[str, Head | None] = {}
        try:
            read = self._read(missing)
        except UserError:
            for user in missing:
                try:
                    read |= self._read([user])
                except UserError as error:
                    problems[user] = str(error)
        self._ready |= read
        self._remember(read)
        return problems

    def has_own(self, user: str) -> bool:
        """Whether a prepared user has a head of their own."""
        return self._ready.get(user) is not None

    def of(self, user_ids: Sequence[str]) -> Deltas:
        """Deltas [n, ...] of prepared users, zeros (the population head) for whoever has none."""
        heads = [self._ready.get(user) for user in user_ids]
        shapes = self._store.spec.shapes
        blank = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        return {
            name: torch.from_numpy(np.stack([(head or blank)[name] for head in heads]))
            if heads
            else torch.zeros(0, *shape)
            for name, shape in shapes.items()
        }

    def _read(self, users: Sequence[str]) -> dict[str, Head | None]:
        if not users:
            return {}
        found, arrays = self._store.get(users)
        return {
            user: {name: value[i].copy() for name, value in arrays.items()} if found[i] else None
            for i, user in enumerate(users)
        }

    def _remember(self, read: Mapping[str, Head | None]) -> None:
        self._kept.update(read)
        for user in self._ready:
            self._kept.move_to_end(user)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
