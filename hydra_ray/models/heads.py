"""Head kinds behind one interface: a population head everybody shares, and a zero-initialised delta per user.

A user's head is population + delta. A user without a delta is served by the population head, and a new user's fit
starts there. Deltas are plain stacked arrays [U, ...] kept outside the module: a batch gathers the rows of its own
users, so its cost does not depend on how many users exist.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

HeadKind = Literal["dense", "low_rank", "linear", "shrunk", "shared"]
Deltas = dict[str, Tensor]


class Head(nn.Module):
    """dropout -> dense Z x Z -> tanh -> dropout -> Z x 2, the HYDRA paper's head, as population plus user deltas.

    - `dense`: a user's delta covers both layers, (Z + 1) Z + 2 (Z + 1) numbers: the paper's.
    - `low_rank`: a rank-K delta of the dense layer and the user's own output layer.
    - `linear`: the user's output layer alone.
    - `shrunk`: a delta of the same shape as `linear`'s, but nothing of it is trained jointly: it is solved for in
      closed form under an estimated prior (`hydra_ray.train.shrunk`). See `joint_kind`.
    - `shared`: no delta.
    """

    def __init__(self, kind: HeadKind, width: int, rank: int, dropout: float) -> None:
        super().__init__()
        self.kind = kind
        self.width = width
        self.rank = rank
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(width, width)
        self.out = nn.Linear(width, 2)
        # What the pair encoding says is a good start: the head begins as tanh(z), not as a random mixture of it.
        nn.init.eye_(self.dense.weight)
        nn.init.zeros_(self.dense.bias)
        if kind == "low_rank":
            self.down = nn.Parameter(torch.empty(width, rank))
            nn.init.normal_(self.down, std=1 / math.sqrt(width))

    def delta_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of one user's delta (without the leading U)."""
        z, k = self.width, self.rank
        output = {"out_weight": (z, 2), "out_bias": (2,)}
        if self.kind == "dense":
            return {"dense_weight": (z, z), "dense_bias": (z,), **output}
        if self.kind == "low_rank":
            return {"down": (z, k), "up": (k, z), **output}
        if self.kind in ("linear", "shrunk"):
            return output
        return {}

    def zeros(self, users: int) -> Deltas:
        """Deltas of `users` users that leave the population head as it is."""
        return {name: torch.zeros(users, *shape) for name, shape in self.delta_shapes().items()}

    def hidden(self, z_GRZ: Tensor, deltas: Deltas) -> Tensor:
        """tanh of the dense layer: [G, R, Z]."""
        x_GRZ = self.dropout(z_GRZ)
        h_GRZ = self.dense(x_GRZ)
        if "dense_weight" in deltas:
            h_GRZ = h_GRZ + torch.bmm(x_GRZ, deltas["dense_weight"]) + deltas["dense_bias"].unsqueeze(1)
        if "up" in deltas:
            h_GRZ = h_GRZ + torch.bmm(torch.bmm(x_GRZ, self.down + deltas["down"]), deltas["up"])
        return torch.tanh(h_GRZ)

    def output(self, h_GRZ: Tensor, deltas: Deltas) -> Tensor:
        """Logits [G, R, 2] of hidden states [G, R, Z]."""
        h_GRZ = self.dropout(h_GRZ)
        logits_GR2: Tensor = self.out(h_GRZ)
        if "out_weight" in deltas:
            logits_GR2 = logits_GR2 + torch.bmm(h_GRZ, deltas["out_weight"]) + deltas["out_bias"].unsqueeze(1)
        return logits_GR2

    def forward(self, z_GRZ: Tensor, deltas: Deltas) -> Tensor:
        """Logits [G, R, 2]. `deltas` holds one row per group, [G, ...] (empty: the population head)."""
        return self.output(self.hidden(z_GRZ, deltas), deltas)


def scores(logits_GR2: Tensor) -> Tensor:
    """The ranking score of each row, [G, R]: the log-odds of the positive class."""
    return logits_GR2[..., 1] - logits_GR2[..., 0]


def joint_kind(kind: HeadKind) -> HeadKind:
    """The kind that base and population head of `kind` are trained as: `shrunk` has no user parameters in training.

    The modules of both have the same parameters, so that a base trained as `shared` loads with `shrunk` heads.
    """
    return "shared" if kind == "shrunk" else kind


def gather(deltas: Deltas, rows: Tensor) -> Deltas:
    """The deltas of the users at `rows` (int64 [G]): name -> [G, ...]."""
    return {name: value.index_select(0, rows) for name, value in deltas.items()}


def parameters_per_user(kind: HeadKind, width: int, rank: int) -> int:
    """Numbers stored per user and module (fp32: times 4 bytes)."""
    with torch.device("meta"):
        return sum(math.prod(shape) for shape in Head(kind, width, rank, 0.0).delta_shapes().values())
