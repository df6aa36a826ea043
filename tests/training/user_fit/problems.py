"""Heads of some users, and rows to score."""

import torch

from hydra_ray.models.heads import Deltas, Head, make_head

USERS, ROWS, WIDTH, RANK = 3, 7, 5, 2


def problem(kind: str) -> tuple[Head, torch.Tensor, Deltas]:
    """A head with dropout, whose layers are no identity, rows of users, and deltas of theirs; in float64."""
    torch.manual_seed(0)
    head = make_head(kind, WIDTH, RANK, 0.5).double()
    torch.nn.init.normal_(head.dense.weight)
    torch.nn.init.normal_(head.dense.bias)
    deltas = {name: torch.randn(USERS, *shape).double() for name, shape in head.delta_shapes().items()}
    return head, torch.randn(USERS, ROWS, WIDTH).double(), deltas
