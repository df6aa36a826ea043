"""The tokens that all rows of a step begin with, such as the task's instruction, computed once for each user.

Keys and values of a token depend on the tokens before it and on the user's weights alone. They are computed for each
user once, handed to the user's rows as the past of their other tokens, and gather those rows' gradients, which then go
back through the common tokens once. The result is the same up to rounding.

Shapes: n users, B rows, P common tokens.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hydra_ray.models.lora.stacked import StackedLora
from hydra_ray.training.user_lora.rows import TokenRow

SHORTEST = 8
"""Common tokens that are worth a forward of their own."""


def common_tokens(rows: Sequence[TokenRow]) -> int:
    """How many tokens all rows begin with. The one that predicts the first learned token is never among them."""
    first, last = min(row.ids for row in rows), max(row.ids for row in rows)
    shorter = min(row.prompt for row in rows) - 1
    # What the first and the last in order have in common, all between them have, too.
    return next((i for i in range(shorter) if first[i] != last[i]), shorter)


class SharedPrefix:
    """Keys and values of the common tokens of some users."""

    def __init__(self, states: Sequence[tuple[Tensor, Tensor]]) -> None:
        """states: each layer's keys and values [n, heads, P, width of a head], with their graph."""
        self._states = [state for layer in states for state in layer]
        self._leaves = [state.detach().requires_grad_() for state in self._states]

    @classmethod
    def of_users(cls, model: Any, lora: StackedLora, ids: Sequence[int], user_n: Tensor) -> "SharedPrefix | None":
        """Computes them; None for a model that keeps anything but the keys and values of every token.

        Args:
            model: The base, on which `lora` is.
            lora: The users' weights.
            ids: The common tokens.
            user_n: The users' places in the stack, int64.
        """
        from transformers.cache_utils import DynamicCache, DynamicLayer

        ids_nP = torch.tensor(ids, device=user_n.device).expand(len(user_n), -1)
        with lora.of_users(user_n):
            cache = model(input_ids=ids_nP, use_cache=True, logits_to_keep=1).past_key_values
        if type(cache) is not DynamicCache or any(type(layer) is not DynamicLayer for layer in cache.layers):
            return None
        return cls([(layer.keys, layer.values) for layer in cache.layers])

    def of_rows(self, place_B: Tensor) -> Any:
        """The past of rows, as the model takes it. place: each row's user among those here, int64."""
        from transformers.cache_utils import DynamicCache

        taken = [leaf[place_B] for leaf in self._leaves]
        return DynamicCache(ddp_cache_data=list(zip(taken[::2], taken[1::2], strict=True)))

    def backward(self) -> None:
        """Takes the gradients that the rows have left back to the users' weights."""
        reached = [(state, leaf.grad) for state, leaf in zip(self._states, self._leaves, strict=True)
                   if leaf.grad is not None and state.requires_grad]  # fmt: skip
        if reached:
            torch.autograd.backward([state for state, _ in reached], [gradient for _, gradient in reached])
