"""The heads one worker owns, with their optimiser state: stacked rows, touched only where a batch needs them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from hydra_ray.models.heads import Deltas, Head, take_rows
from hydra_ray.models.mixture import FacetHead

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""Adam's defaults (Kingma and Ba 2015)."""

CHUNK = 1 << 18
"""Numbers of one array that an optimiser step works on at once: 1 MiB, the size of a core's second cache or so."""


class UserHeadTable:
    """User deltas [U, ...] and a row-wise Adam: moments and step counts live with the rows.

    Rows that a batch does not touch are neither read nor written, in forward, backward and optimiser. Rows are sorted
    by bucket, so that a bucket's heads can be stored and read alone.
    """

    def __init__(self, head: Head | FacetHead, bucket_of: Mapping[str, int]) -> None:
        """bucket_of: this worker's users and their buckets."""
        self._head = head
        self.user_ids = sorted(bucket_of, key=lambda user: (bucket_of[user], user))
        self.row_of = {user: row for row, user in enumerate(self.user_ids)}
        self._rows_of: dict[int, list[int]] = {}
        for row, user in enumerate(self.user_ids):
            self._rows_of.setdefault(bucket_of[user], []).append(row)
        self.deltas: Deltas = head.learned(len(self.user_ids))
        self.first = {name: torch.zeros_like(value) for name, value in self.deltas.items()}
        self.second = {name: torch.zeros_like(value) for name, value in self.deltas.items()}
        self.steps = torch.zeros(len(self.user_ids))
        self._buffers: Deltas = {}

    @property
    def buckets(self) -> list[int]:
        """The buckets that have users here, ascending."""
        return sorted(self._rows_of)

    def users_of(self, bucket: int) -> list[str]:
        """The users of one bucket, in row order."""
        return [self.user_ids[row] for row in self._rows_of[bucket]]

    def take(self, rows: Tensor, device: torch.device | None = None) -> Deltas:
        """The deltas at `rows` (int64 [n]) as leaves that collect gradients; they hold until the next `take_rows`."""
        return take_rows(self.deltas, rows, device, self._buffers)

    def blank(self, device: torch.device | None = None) -> Deltas:
        """A zero delta, [1, ...]."""
        return {name: value.to(device).requires_grad_() for name, value in self._head.learned(1).items()}

    @torch.no_grad()
    def update(self, rows: Tensor, taken: Deltas, lr: float, scale: float = 1.0) -> None:
        """One Adam step on `rows` from the gradients in `taken`, multiplied by `scale`."""
        if not self.deltas:
            return
        self.steps[rows] += 1
        count = self.steps[rows]
        for name, leaf in taken.items():
            if leaf.grad is None:
                continue
            gradient = leaf.grad.to("cpu", torch.float32)
            # A few rows at a time: what is in between stays in the processor's caches.
            size = max(1, CHUNK // max(1, gradient[0].numel()))
            for start in range(0, len(rows), size):
                part = slice(start, start + size)
                self._adam(name, rows[part], gradient[part] * scale, count[part], lr)

    def _adam(self, name: str, rows: Tensor, gradient: Tensor, count: Tensor, lr: float) -> None:
        """One Adam step on `rows` of one array; gradient [n, ...], count (steps so far, this one too) [n]."""
        shape = (-1, *[1] * (gradient.dim() - 1))
        first = self.first[name][rows] * BETA1 + gradient * (1 - BETA1)
        second = self.second[name][rows] * BETA2 + gradient.square() * (1 - BETA2)
        mean = first / (1 - BETA1**count).view(shape)
        spread = (second / (1 - BETA2**count).view(shape)).sqrt() + EPSILON
        self.deltas[name][rows] -= lr * mean / spread
        self.first[name][rows], self.second[name][rows] = first, second

    def finite(self) -> bool:
        """Whether all heads and their moments are numbers."""
        parts = (self.deltas, self.first, self.second)
        return all(bool(value.isfinite().all()) for values in parts for value in values.values())

    def state(self, bucket: int) -> dict[str, Tensor]:
        """Everything a resumed run needs of one bucket's heads, flat for safetensors; rows as in `users_of`."""
        rows = torch.as_tensor(self._rows_of[bucket])
        parts = {"delta": self.deltas, "first": self.first, "second": self.second}
        flat = {f"{part}.{name}": value[rows] for part, values in parts.items() for name, value in values.items()}
        return {**flat, "steps": self.steps[rows]}

    def load_state(self, bucket: int, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state`. Raises KeyError or RuntimeError for a state of another head kind or width."""
        rows = torch.as_tensor(self._rows_of[bucket])
        for part, values in (("delta", self.deltas), ("first", self.first), ("second", self.second)):
            for name, value in values.items():
                found = state[f"{part}.{name}"]
                if found.shape != (len(rows), *value.shape[1:]):
                    raise RuntimeError(f"{part}.{name} is of shape {tuple(found.shape)}")
                value[rows] = found
        self.steps[rows] = state["steps"]
