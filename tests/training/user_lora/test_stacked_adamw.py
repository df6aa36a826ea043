"""Stacked steps are PyTorch's AdamW, user by user."""

import torch

from hydra_ray.training.user_lora.stacked_adamw import StackedAdamW

SHAPES = {"A": (2, 5), "B": (4, 2)}
LR, DECAY, CLIP = 0.05, 0.1, 0.7
STEPS = (6, 4, 4, 1)


def gradient(user: int, step: int, name: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(100 * user + 10 * step + len(name) + ord(name))
    # Some are above the clip, some below.
    return torch.randn(SHAPES[name], generator=generator) * (0.05 if step % 2 else 1.0)


def rate(user: int, step: int) -> float:
    return (STEPS[user] - step) / STEPS[user]


def test_as_torchs_for_every_user() -> None:
    begin = {name: torch.randn(len(STEPS), *shape) for name, shape in SHAPES.items()}
    weights = {name: value.clone().requires_grad_() for name, value in begin.items()}
    stacked = StackedAdamW(weights, LR, DECAY, CLIP)
    for step in range(STEPS[0]):
        learning = sum(steps > step for steps in STEPS)
        stacked.zero_grad()
        for name, value in weights.items():
            found = [gradient(user, step, name) for user in range(learning)]
            # What is left in the others' rows must not matter.
            value.grad = torch.stack(found + [torch.full(SHAPES[name], 9.0)] * (len(STEPS) - learning))
        stacked.step(torch.tensor([rate(user, step) for user in range(learning)]))
    for user, steps in enumerate(STEPS):
        alone = {name: value[user].clone().requires_grad_() for name, value in begin.items()}
        optimizer = torch.optim.AdamW(list(alone.values()), lr=LR, weight_decay=DECAY)
        for step in range(steps):
            for name, value in alone.items():
                value.grad = gradient(user, step, name)
            torch.nn.utils.clip_grad_norm_(list(alone.values()), CLIP)
            optimizer.param_groups[0]["lr"] = LR * rate(user, step)
            optimizer.step()
        for name, value in alone.items():
            assert torch.allclose(weights[name][user], value, atol=1e-6)


def test_without_a_gradient_only_the_decay_is_left() -> None:
    weights = {"A": torch.ones(2, 3, requires_grad=True)}
    StackedAdamW(weights, LR, DECAY, CLIP).step(torch.tensor([1.0]))
    assert torch.allclose(weights["A"], torch.tensor([[1 - LR * DECAY] * 3, [1.0] * 3]))
