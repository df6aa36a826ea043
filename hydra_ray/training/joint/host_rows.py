"""Rows of a table in the node's memory, worked on by a device: fetched ahead on a stream of their own, put back later.

The table lies in pinned memory, so that copies run while the device works. What `put` is given is in the table once
`settle` has returned; `prefetch` and `take` see it in any case.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Arrays = Sequence[dict[str, Tensor]]
"""Parts of a table, each name -> [users, ...]."""


class HostRows:
    """A table's parts, and what of them is on its way."""

    def __init__(self, parts: Arrays, device: torch.device) -> None:
        """parts: on the CPU, written in place. device: where rows are worked on; the CPU does, for tests."""
        self._parts, self._device = parts, device
        self._stream = torch.Stream(device) if device.type not in ("cpu", "meta") else None
        self._ahead: tuple[Tensor, Arrays] | None = None
        self._behind: tuple[Tensor, Arrays, Any] | None = None

    def prefetch(self, rows: Tensor) -> None:
        """Begins to bring rows (int64 [n], on the CPU) to the device, for the next `take` of the same rows."""
        self.settle()
        with self._side():
            self._ahead = rows, self._fetched(rows)

    def take(self, rows: Tensor) -> Arrays:
        """The rows on the device: those that were fetched ahead, or fetched now."""
        if self._ahead is None or not torch.equal(self._ahead[0], rows):
            self.settle()
            self._ahead = None
            return self._fetched(rows)
        _, found = self._ahead
        self._ahead = None
        if self._stream is not None:
            torch.accelerator.current_stream(self._device).wait_stream(self._stream)
            for part in found:
                for value in part.values():
                    value.record_stream(torch.accelerator.current_stream(self._device))
        return found

    def put(self, rows: Tensor, values: Arrays) -> None:
        """Puts rows back: at once into what is fetched ahead, into the table when the copy has come."""
        self.settle()
        if self._ahead is not None:
            self._patch(rows, values)
        back = [{name: self._like(value) for name, value in part.items()} for part in values]
        for target, part in zip(back, values, strict=True):
            for name, value in part.items():
                target[name].copy_(value, non_blocking=True)
        event = None
        if self._stream is not None:
            event = torch.Event(self._device)
            event.record(torch.accelerator.current_stream(self._device))
        self._behind = rows, back, event

    def settle(self) -> None:
        """Waits for the rows that were put back last, and writes them into the table."""
        if self._behind is None:
            return
        rows, back, event = self._behind
        self._behind = None
        if event is not None:
            event.synchronize()
        for part, values in zip(self._parts, back, strict=True):
            for name, value in values.items():
                part[name].index_copy_(0, rows, value)

    def _patch(self, rows: Tensor, values: Arrays) -> None:
        """Rows that are fetched ahead and were worked on meanwhile."""
        assert self._ahead is not None
        ahead, fetched = self._ahead
        place = {row: i for i, row in enumerate(ahead.tolist())}
        both = [(i, place[row]) for i, row in enumerate(rows.tolist()) if row in place]
        if not both:
            return
        if self._stream is not None:
            torch.accelerator.current_stream(self._device).wait_stream(self._stream)
        source, target = (torch.tensor(index).to(self._device, non_blocking=True) for index in zip(*both, strict=True))
        for part, new in zip(fetched, values, strict=True):
            for name, value in new.items():
                part[name].index_copy_(0, target, value.index_select(0, source))

    def _fetched(self, rows: Tensor) -> Arrays:
        found = []
        for part in self._parts:
            gathered = {}
            for name, value in part.items():
                staged = self._pinned(len(rows), *value.shape[1:], dtype=value.dtype)
                gathered[name] = torch.index_select(value, 0, rows, out=staged).to(self._device, non_blocking=True)
            found.append(gathered)
        return found

    def _like(self, value: Tensor) -> Tensor:
        return self._pinned(*value.shape, dtype=value.dtype)

    def _pinned(self, *shape: int, dtype: torch.dtype) -> Tensor:
        return torch.empty(*shape, dtype=dtype, pin_memory=self._stream is not None)

    def _side(self) -> Any:
        return self._stream if self._stream is not None else contextlib.nullcontext()
