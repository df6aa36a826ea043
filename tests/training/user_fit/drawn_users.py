"""Users drawn from a known distribution."""

import torch
from torch import Tensor

from hydra_ray.models.heads import Head, make_head
from hydra_ray.training.user_fit.padded_users import PaddedUsers

Draw = tuple[Tensor, Tensor, Tensor, Tensor]


def draw(users: int, rows: int, width: int, spread: Tensor, seed: int = 0) -> Draw:
    """h, offset, label, mask of users whose residual is drawn with `spread` [width + 1]; float64."""
    g = torch.Generator().manual_seed(seed)
    h = torch.tanh(torch.randn(users, rows, width, generator=g, dtype=torch.float64))
    offset = torch.randn(users, rows, generator=g, dtype=torch.float64)
    w = torch.randn(users, width + 1, generator=g, dtype=torch.float64) * spread
    s = offset + (h @ w[:, :-1].unsqueeze(-1)).squeeze(-1) + w[:, -1:]
    label = (torch.rand(users, rows, generator=g, dtype=torch.float64) < torch.sigmoid(s)).double()
    return h, offset, label, torch.ones_like(label)


def rows_of(problem: Draw, head: Head, per_query: int = 5) -> PaddedUsers:
    """The problem as rows whose hidden states under `head` (dense layer: identity) are its h."""
    h, _, label, mask = (x.float() for x in problem)
    query = (torch.arange(h.shape[1]) // per_query).expand(len(h), -1)
    return PaddedUsers(torch.atanh(h.clamp(-0.999999, 0.999999)), label, mask, query)


def silent(width: int) -> Head:
    """A shared head that says 0 for every row."""
    head = make_head("bayesian_linear", width, 2, 0.0)
    torch.nn.init.zeros_(head.out.weight)
    torch.nn.init.zeros_(head.out.bias)
    return head
