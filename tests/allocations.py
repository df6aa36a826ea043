"""How much memory tensors take at once while some code runs, whatever device they are on."""

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Counts the storages that operations make, until they are freed.

    Attributes:
        peak: The most bytes that lived at once, without those of the tensors that were there before.
    """

    def __init__(self, before: Iterable[Tensor]) -> None:
        """before: tensors that do not count."""
        super().__init__()
        self._before = list(before)
        self._sizes = {tensor.untyped_storage()._cdata: 0 for tensor in self._before}
        self._now = self.peak = 0

    def __torch_dispatch__(
        self,
        function: Callable[..., Any],
        types: Sequence[Any],
        args: Any = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor)
        return made

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self._now += storage.nbytes()
            self.peak = max(self.peak, self._now)
            weakref.finalize(storage, self._freed, key)

    def _freed(self, key: int) -> None:
        self._now -= self._sizes.pop(key, 0)
