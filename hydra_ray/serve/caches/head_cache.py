"""Users' heads as a running service needs them: a bounded number in memory, a new version taken over while it runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from cachetools import LRUCache

from hydra_ray.errors import UserError
from hydra_ray.models.heads import Deltas
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.training.artifacts.user_heads import Delta, stacked
from hydra_ray.utils.device import CPU

ENTRY_BYTES = 640
"""What an entry costs on top of its numbers: two arrays, their dictionary, its slots and the id (measured with
tracemalloc: 622 at 100,000 `linear` heads)."""
ALLOCATED = 512
"""PyTorch's allocators on devices hand out multiples of it."""

Head = Mapping[str, Any]
"""One user's arrays by name: NumPy's on the CPU, tensors on a device."""


class HeadCache:
    """Heads of one component. `prepare` reads what a batch needs, `of` hands it out; nothing else reads the store.

    hits, misses: users found in memory and read so far.
    """

    def __init__(self, uri: str, base: str, most_bytes: int, device: torch.device = CPU) -> None:
        """Raises UserError as `HeadStore.open`.

        Args:
            uri: The head store.
            base: Fingerprint of the base that the heads must belong to.
            most_bytes: What they may take.
            device: Where they are kept, and `of` hands them out.
        """
        self._device = device
        self._store = HeadStore.open(uri)
        self._store.spec.check(replace(self._store.spec, base=base), uri)
        self._head_bytes = head_bytes(self._store.spec.shapes, device) + ENTRY_BYTES
        self._kept: LRUCache[str, Head | None] = LRUCache(max(1, most_bytes // self._head_bytes))
        self._kept_of = self._store.version
        self._ready: dict[str, Head | None] = {}
        self.hits = self.misses = 0

    @property
    def version(self) -> int:
        """Of the store, as `of` sees it."""
        return self._store.version

    @property
    def bytes(self) -> int:
        """What the kept heads take."""
        return len(self._kept) * self._head_bytes

    def refresh(self) -> None:
        """Takes over the latest version; what was read before it is forgotten. Raises UserError."""
        self._store.refresh()
        self._forget_older()

    def prepare(self, users: Mapping[str, int]) -> dict[str, str]:
        """Makes the heads of these users ready for `of`. users: stored id -> version that must be seen at least.

        Returns user -> why the head cannot be read; `of` gives the shared head for those.
        """
        problems = self._catch_up(users)
        readable = [user for user in users if user not in problems]
        while True:
            self._ready = {user: self._kept[user] for user in readable if user in self._kept}
            missing = [user for user in readable if user not in self._ready]
            read = self._read_each(missing, problems)
            if not self._forget_older():
                break
            # The version was vacuumed away meanwhile, and the store went on to a later one: no batch mixes the two.
        self.hits += len(self._ready)
        self.misses += len(missing)
        self._ready |= read
        self._kept.update(read)
        return problems

    def _catch_up(self, users: Mapping[str, int]) -> dict[str, str]:
        """Sees to it that every user's least version is seen; returns those for whom that is not possible."""
        if max(users.values(), default=0) <= self.version:
            return {}
        problem = ""
        try:
            self.refresh()
        except UserError as error:
            problem = f": {error}"
        return {
            user: f"version {least} of the head store is asked for, {self.version} is there{problem}"
            for user, least in users.items()
            if least > self.version
        }

    def _forget_older(self) -> bool:
        """Forgets what was read at another version than the present one; whether there is one."""
        before, self._kept_of = self._kept_of, self.version
        if before != self._kept_of:
            self._kept.clear()
        return before != self._kept_of

    def _read_each(self, users: Sequence[str], problems: dict[str, str]) -> dict[str, Head | None]:
        """The users' heads; of whom none can be read, `problems` says why."""
        try:
            return self._read(users)
        except UserError:
            read: dict[str, Head | None] = {}
            for user in users:
                try:
                    read |= self._read([user])
                except UserError as error:
                    problems[user] = str(error)
            return read

    def has_own(self, user: str) -> bool:
        """Whether a prepared user has a head of their own."""
        return self._ready.get(user) is not None

    def of(self, user_ids: Sequence[str]) -> Deltas:
        """Deltas [n, ...] of prepared users, zeros (the shared head) for users without one."""
        shapes = self._store.spec.shapes
        blank = self._put({name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
        rows = [self._ready.get(user) or blank for user in user_ids]
        if self._device == CPU or not rows:
            return {name: value.to(self._device) for name, value in stacked(rows, shapes).items()}
        return {name: torch.stack([row[name] for row in rows]) for name in shapes}

    def _read(self, users: Sequence[str]) -> dict[str, Head | None]:
        if not users:
            return {}
        found, arrays = self._store.get(users)
        return {
            user: self._put({name: value[i].copy() for name, value in arrays.items()}) if found[i] else None
            for i, user in enumerate(users)
        }

    def _put(self, head: Delta) -> Head:
        if self._device == CPU:
            return head
        return {name: torch.from_numpy(value).to(self._device) for name, value in head.items()}


def head_bytes(shapes: Mapping[str, tuple[int, ...]], device: torch.device) -> int:
    """What one user's arrays take: on a device, PyTorch's allocator rounds each up to ALLOCATED bytes."""
    sizes = [4 * math.prod(shape) for shape in shapes.values()]
    return sum(sizes) if device == CPU else sum(-(-size // ALLOCATED) * ALLOCATED for size in sizes)
