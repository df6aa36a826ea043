"""The heads one worker owns, with their optimiser state: stacked rows, touched only where a batch needs them.

They live where the training runs: on the CPU, on the worker's device, or in pinned memory of its node and row by row
on the device (`hydra_ray.training.joint.head_plan` says which).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from hydra_ray.models.heads import Deltas, Head, take_rows
from hydra_ray.models.mixture import MixtureHead
from hydra_ray.training.joint.head_plan import Place
from hydra_ray.training.joint.host_rows import HostRows
from hydra_ray.training.joint.row_adam import BETA1, BETA2, EPSILON, AdamRows, adam_rows
from hydra_ray.utils.device import CPU

CHUNK = 1 << 18
"""Numbers of one array that an optimiser step on the CPU works on at once: 1 MiB, the size of a core's second cache or
so."""


class UserHeadTable:
    """User deltas [U, ...] and a row-wise Adam: moments and step counts live with the rows.

    Rows that a batch does not touch are neither read nor written, in forward, backward and optimiser. Rows are sorted
    by bucket, so that a bucket's heads can be stored and read alone.
    """

    def __init__(
        self,
        head: Head | MixtureHead,
        bucket_of: Mapping[str, int],
        device: torch.device = CPU,
        place: Place | None = None,
    ) -> None:
        """Starts at the shared head.

        Args:
            head: Says what is a user's own.
            bucket_of: This worker's users and their buckets.
            device: Where batches are computed.
            place: Where the heads live. None: on the CPU with the CPU's own update, or on the device.
        """
        self._head, self.device = head, device
        self.user_ids = sorted(bucket_of, key=lambda user: (bucket_of[user], user))
        self.row_of = {user: row for row, user in enumerate(self.user_ids)}
        self._rows_of: dict[int, list[int]] = {}
        for row, user in enumerate(self.user_ids):
            self._rows_of.setdefault(bucket_of[user], []).append(row)
        on_host = place == "host"
        home = CPU if on_host else device
        begin = head.learned(1)
        shapes = {name: value.shape[1:] for name, value in begin.items()}
        pinned = on_host and device.type not in ("cpu", "meta")

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(len(self.user_ids), *shape, device=home, pin_memory=pinned)

        self.deltas: Deltas = {name: zeros(*shape).add_(begin[name].to(home)) for name, shape in shapes.items()}
        self.first = {name: zeros(*shape) for name, shape in shapes.items()}
        self.second = {name: zeros(*shape) for name, shape in shapes.items()}
        self.steps = zeros()
        self._host = HostRows([*self._table.parts()], device) if on_host else None
        self._chunked = place is None and device.type == "cpu"
        self._taken: AdamRows | None = None
        self._buffers: Deltas = {}

    @property
    def _table(self) -> AdamRows:
        return AdamRows(self.deltas, self.first, self.second, self.steps)

    @property
    def buckets(self) -> list[int]:
        """The buckets that have users here, ascending."""
        return sorted(self._rows_of)

    def users_of(self, bucket: int) -> list[str]:
        """The users of one bucket, in row order."""
        return [self.user_ids[row] for row in self._rows_of[bucket]]

    def prefetch(self, rows: Tensor) -> None:
        """Begins to fetch the rows (int64 [n], on the CPU) of the next `take`, where heads are not on the device."""
        if self._host is not None and self.deltas:
            self._host.prefetch(rows)

    def take(self, rows: Tensor) -> Deltas:
        """The deltas at `rows` (int64 [n], on the CPU) as leaves that collect gradients, on the table's device; they
        hold until the next `take`."""
        if self._chunked or not self.deltas:
            return take_rows(self.deltas, rows, self.device, self._buffers)
        if self._host is not None:
            deltas, first, second, count = self._host.take(rows)
            self._taken = AdamRows(deltas, first, second, count["steps"])
        else:
            index = rows.to(self.device, non_blocking=True)
            deltas, first, second, count = (
                {name: value.index_select(0, index) for name, value in part.items()} for part in self._table.parts()
            )
            self._taken = AdamRows(deltas, first, second, count["steps"])
        return {name: value.detach().requires_grad_() for name, value in self._taken.deltas.items()}

    def blank(self) -> Deltas:
        """A zero delta, [1, ...], on the table's device."""
        return {name: value.to(self.device).requires_grad_() for name, value in self._head.learned(1).items()}

    @torch.no_grad()
    def update(self, rows: Tensor, taken: Deltas, lr: float, scale: float = 1.0) -> None:
        """One Adam step on `rows`, those of the last `take`, from the gradients in `taken`, multiplied by `scale`."""
        if not self.deltas:
            return
        if self._chunked:
            self._update_in_chunks(rows, taken, lr, scale)
            return
        assert self._taken is not None, "rows are updated after they were taken"
        found = {name: leaf.grad for name, leaf in taken.items() if leaf.grad is not None}
        scaled = torch._foreach_mul([value.float() for value in found.values()], scale) if found else []
        adam_rows(self._taken, dict(zip(found, scaled, strict=True)), lr)
        if self._host is not None:
            self._host.put(rows, [*self._taken.parts()])
        else:
            index = rows.to(self.device, non_blocking=True)
            for part, values in zip(self._table.parts(), self._taken.parts(), strict=True):
                for name, value in values.items():
                    part[name].index_copy_(0, index, value)
        self._taken = None

    def _update_in_chunks(self, rows: Tensor, taken: Deltas, lr: float, scale: float) -> None:
        """The CPU's own way: a few rows at a time, so that what is in between stays in the processor's caches."""
        self.steps[rows] += 1
        count = self.steps[rows]
        for name, leaf in taken.items():
            if leaf.grad is None:
                continue
            gradient = leaf.grad.float()
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

    def settle(self) -> None:
        """Sees to it that the table holds all updates."""
        if self._host is not None:
            self._host.settle()

    def finite(self) -> bool:
        """Whether all heads and their moments are numbers."""
        self.settle()
        parts = (self.deltas, self.first, self.second)
        return all(bool(value.isfinite().all()) for values in parts for value in values.values())

    def state(self, bucket: int) -> dict[str, Tensor]:
        """Everything a resumed run needs of one bucket's heads, flat for safetensors, on the CPU; rows as in
        `users_of`."""
        self.settle()
        rows = torch.as_tensor(self._rows_of[bucket]).to(self.steps.device)
        parts = {"delta": self.deltas, "first": self.first, "second": self.second}
        flat = {f"{part}.{name}": value[rows].to(CPU) for part, all_ in parts.items() for name, value in all_.items()}
        return {**flat, "steps": self.steps[rows].to(CPU)}

    def load_state(self, bucket: int, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state`. Raises KeyError or RuntimeError for a state of another head kind or width."""
        self.settle()
        rows = torch.as_tensor(self._rows_of[bucket]).to(self.steps.device)
        for part, values in (("delta", self.deltas), ("first", self.first), ("second", self.second)):
            for name, value in values.items():
                found = state[f"{part}.{name}"]
                if found.shape != (len(rows), *value.shape[1:]):
                    raise RuntimeError(f"{part}.{name} is of shape {tuple(found.shape)}")
                value[rows] = found.to(value.device)
        self.steps[rows] = state["steps"].to(self.steps.device)
