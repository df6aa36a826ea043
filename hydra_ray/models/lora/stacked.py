"""LoRA of many users on one frozen base: one forward for rows of many users.

A row is computed with its own user's weights alone, so users do not influence each other, in the forward as in the
gradients.

Shapes: U users, B rows, T tokens, r the rank.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from hydra_ray.models.lora.counted_dropout import counted_dropout
from hydra_ray.models.lora.shape import A, B, LoraShape, LoraWeights

Hook = Callable[[Any, tuple[Any, ...], Tensor], Tensor]


class StackedLora:
    """Puts users' LoRA on a model for as long as it is entered; the model's modules and weights stay as they are.

    `with StackedLora(...) as lora, lora.of_users(user_B): model(ids_BT)` computes row b with the weights of user
    `user_B[b]`. Outside of `of_users` the model is the base.

    Attributes:
        weights: Stacked, [U, ...]; leaves that gather gradients.
    """

    def __init__(self, model: Any, shape: LoraShape, weights: LoraWeights, dropout: float = 0.0) -> None:
        """dropout: of a layer's input to A, in training (`of_users` with keys)."""
        self.weights: LoraWeights = {name: value.detach().requires_grad_() for name, value in weights.items()}
        self._shape, self._dropout = shape, dropout
        self._layers = {name: model.get_submodule(name) for name in shape.layers}
        self._handles: list[RemovableHandle] = []
        self._user_B: Tensor | None = None
        self._key_B: Tensor | None = None

    def __enter__(self) -> "StackedLora":
        for number, (name, layer) in enumerate(self._layers.items()):
            self._handles.append(layer.register_forward_hook(self._hook(name, number)))
        return self

    def __exit__(self, *_: object) -> None:
        while self._handles:
            self._handles.pop().remove()

    @contextmanager
    def of_users(self, user_B: Tensor, key_B: Tensor | None = None) -> Iterator[None]:
        """Forwards in here are of these users' rows.

        Args:
            user_B: Each row's user, int64, places in the stack.
            key_B: Each row's number for dropout, int32; None: without dropout.
        """
        self._user_B, self._key_B = user_B, key_B
        try:
            yield
        finally:
            self._user_B = self._key_B = None

    def _hook(self, name: str, number: int) -> Hook:
        """Adds (alpha / r) B A x to what a layer gives."""

        def add(_: Any, inputs: tuple[Any, ...], out_BTD: Tensor) -> Tensor:
            if self._user_B is None:
                return out_BTD
            a, b = self.weights[f"{name}.{A}"], self.weights[f"{name}.{B}"]
            x = inputs[0].to(a.dtype)
            if self._key_B is not None and self._dropout:
                x = counted_dropout(x, self._dropout, self._key_B, number)
            if len(a) == 1:
                return out_BTD + (F.linear(F.linear(x, a[0]), b[0]) * self._shape.scaling).to(out_BTD.dtype)
            low_BTr = torch.bmm(x, a[self._user_B].mT)
            b_BrD = b[self._user_B].mT
            if out_BTD.dtype == b.dtype:
                return torch.baddbmm(out_BTD, low_BTr, b_BrD, alpha=self._shape.scaling)
            return out_BTD + (torch.bmm(low_BTr, b_BrD) * self._shape.scaling).to(out_BTD.dtype)

        return add


def on_device(weights: Mapping[str, Tensor], device: torch.device) -> LoraWeights:
    """The same weights on a device."""
    return {name: value.to(device) for name, value in weights.items()}
