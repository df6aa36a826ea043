"""Training of a small model in one process, of which the epoch that serves held-out data best is kept."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

WARM_UP = 0.05
"""Share of the steps in which the learning rate rises."""
CLIP = 1.0
"""Greatest norm of a step's gradient."""


def fit_best_epoch(
    model: nn.Module,
    learned: Tensor,
    loss_of: Callable[[Tensor], Tensor],
    held_out: Callable[[], float],
    lr: float,
    epochs: int,
    batch: int,
    seed: int,
) -> tuple[tuple[float, ...], int]:
    """Trains a model by Adam and leaves it with the weights of its best epoch, the untrained ones if none is better.

    Args:
        model: The model.
        learned: int64, the places of what is learned from.
        loss_of: Places -> their mean loss.
        held_out: What is wrong on held-out data with the model as it is; less is better.
        lr: Learning rate.
        epochs: Passes over `learned`.
        batch: Places per step.
        seed: Of their order.

    Returns:
        `held_out` before the first epoch and after each, and the epoch whose weights are kept, 0 for the untrained.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr)
    warm = max(1, round(WARM_UP * epochs * -(-len(learned) // batch)))
    rising = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / warm))
    generator = torch.Generator().manual_seed(seed)
    found, best, epoch_of_best = [held_out()], copy.deepcopy(model.state_dict()), 0
    for epoch in range(1, epochs + 1):
        for places in torch.split(learned[torch.randperm(len(learned), generator=generator)], batch):
            optimizer.zero_grad()
            loss_of(places).backward()  # type: ignore[no-untyped-call]  # torch has no type here
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            rising.step()
        found.append(held_out())
        if found[-1] < min(found[:-1]):
            best, epoch_of_best = copy.deepcopy(model.state_dict()), epoch
    model.load_state_dict(best)
    return tuple(found), epoch_of_best
