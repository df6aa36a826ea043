"""AdamW on stacked weights, each user with a rate and a gradient clip of its own.

The users who still learn are the first n of the stack; the others' weights and moments are not touched.

Shapes: U users, n of them learning.
"""

import torch
from torch import Tensor

from hydra_ray.models.lora.shape import LoraWeights
from hydra_ray.training.joint.row_adam import BETA1, BETA2, EPSILON

NORM_EPSILON = 1e-6
"""Added to a norm before it divides the clip, as `torch.nn.utils.clip_grad_norm_` does."""


class StackedAdamW:
    """Per user the same as `torch.optim.AdamW` after `clip_grad_norm_`, up to rounding (Loshchilov and Hutter 2019).

    All users begin together, so that one count of steps serves all who learn.
    """

    def __init__(self, weights: LoraWeights, lr: float, weight_decay: float, clip: float) -> None:
        """weights: leaves [U, ...] whose `grad` each step reads. clip: largest norm of a user's gradient."""
        self._weights = list(weights.values())
        self._first = [torch.zeros_like(value) for value in self._weights]
        self._second = [torch.zeros_like(value) for value in self._weights]
        self._lr, self._weight_decay, self._clip = lr, weight_decay, clip
        self._steps = 0

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for value in self._weights:
            value.grad = None

    @torch.no_grad()
    def step(self, rate_n: Tensor) -> None:
        """One step of the first n users. rate: each one's share of the learning rate, float32 [n]."""
        learning = len(rate_n)
        self._steps += 1
        gradients = [_grad(value)[:learning] for value in self._weights]
        squares_n = torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients]).sum(0)
        scale_n = (self._clip / (squares_n.sqrt() + NORM_EPSILON)).clamp(max=1.0)
        lr_n = rate_n * self._lr
        values = [value[:learning] for value in self._weights]
        first = [value[:learning] for value in self._first]
        second = [value[:learning] for value in self._second]
        torch._foreach_mul_(gradients, [_spread(scale_n, gradient) for gradient in gradients])
        torch._foreach_mul_(values, [_spread(1 - lr_n * self._weight_decay, value) for value in values])
        torch._foreach_lerp_(first, gradients, 1 - BETA1)
        torch._foreach_mul_(second, BETA2)
        torch._foreach_addcmul_(second, gradients, gradients, value=1 - BETA2)
        bias1, bias2 = 1 - BETA1**self._steps, 1 - BETA2**self._steps
        spread = torch._foreach_sqrt(second)
        torch._foreach_div_(spread, bias2**0.5)
        torch._foreach_add_(spread, EPSILON)
        moved = torch._foreach_div(first, spread)
        torch._foreach_mul_(moved, [_spread(lr_n / bias1, value) for value in values])
        torch._foreach_sub_(values, moved)


def _grad(value: Tensor) -> Tensor:
    return torch.zeros_like(value) if value.grad is None else value.grad


def _spread(x_n: Tensor, like: Tensor) -> Tensor:
    return x_n.view(-1, *[1] * (like.dim() - 1))
