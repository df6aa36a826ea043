"""Head kinds behind one interface: one shared head, and a zero-initialised delta per user.

A user's head is shared head + user delta. A user without a delta is served by the shared head, and a new user's fit
starts there. Deltas are plain stacked arrays [U, ...] kept outside the module: a batch gathers the rows of its own
users, so its cost does not depend on how many users exist.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from hydra_ray.config import ModelConfig
from hydra_ray.config.head_kinds import head_kind

Deltas = dict[str, Tensor]


class Head(nn.Module):
    """dropout -> dense Z x Z -> tanh -> dropout -> Z x 2, the HYDRA paper's head; nothing of it is any user's own.

    A subclass says what is a user's own in `delta_shapes`, and in `hidden` or `output` how it comes in; deltas of zeros
    leave the shared head as it is. `hydra_ray.models.mixture.MixtureHead` is another class with the same interface.

    Attributes:
        kind: Its name in `model.head`.
        width: Z, the numbers that it reads of a row.
    """

    kind = "shared"

    def __init__(self, width: int, config: ModelConfig) -> None:
        super().__init__()
        self.width = width
        self.dropout = nn.Dropout(config.dropout)
        self.dense = nn.Linear(width, width)
        self.out = nn.Linear(width, 2)
        # What the pair embedding says is a good start: the head begins as tanh(z), not as a random mixture of it.
        nn.init.eye_(self.dense.weight)
        nn.init.zeros_(self.dense.bias)

    def delta_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of one user's delta (without the leading U)."""
        return {}

    def zeros(self, users: int) -> Deltas:
        """Deltas of `users` users that leave the shared head as it is."""
        return {name: torch.zeros(users, *shape) for name, shape in self.delta_shapes().items()}

    def learned(self, users: int) -> Deltas:
        """What joint training learns of `users` users, at the start."""
        return self.zeros(users)

    def hidden(self, z_QRZ: Tensor, deltas: Deltas) -> Tensor:
        """tanh of the dense layer: [Q, R, Z]."""
        x_QRZ = self.dropout(z_QRZ)
        return torch.tanh(self.dense_layer(x_QRZ, deltas))

    def dense_layer(self, x_QRZ: Tensor, deltas: Deltas) -> Tensor:
        """The dense layer of rows [Q, R, Z], before its tanh."""
        h_QRZ: Tensor = self.dense(x_QRZ)
        return h_QRZ

    def output(self, h_QRZ: Tensor, deltas: Deltas) -> Tensor:
        """Logits [Q, R, 2] of hidden states [Q, R, Z]."""
        h_QRZ = self.dropout(h_QRZ)
        if "out_weight" not in deltas:
            logits_QR2: Tensor = self.out(h_QRZ)
            return logits_QR2
        weight_QZ2, bias_Q2 = self.out.weight.T + deltas["out_weight"], self.out.bias + deltas["out_bias"]
        return _thin(h_QRZ, weight_QZ2) + bias_Q2.unsqueeze(1)

    def forward(self, z_QRZ: Tensor, deltas: Deltas) -> Tensor:
        """Logits [Q, R, 2]. `deltas` holds one row per query, [Q, ...] (empty: the shared head)."""
        return self.output(self.hidden(z_QRZ, deltas), deltas)

    def of_users(self, z_QRZ: Tensor, deltas: Deltas, user_Q: Tensor) -> Tensor:
        """Logits [Q, R, 2], where query q belongs to the user at row `user_Q[q]` (int64 [Q]) of `deltas` [U, ...].

        The queries of a user are laid side by side, padded, so that each delta is read where it lies: a dense delta is
        far larger than the rows it is for. Deltas of users who have no query here are left aside.
        """
        if not deltas:
            logits_QR2: Tensor = self(z_QRZ, deltas)
            return logits_QR2
        present, user_Q = torch.unique(user_Q, return_inverse=True)
        users, rows = len(present), z_QRZ.shape[1]
        if users < len(next(iter(deltas.values()))):
            deltas = gather(deltas, present)
        # Where only the output layer is the user's, the dense layer sees no padding.
        shared_dense = set(deltas) <= {"out_weight", "out_bias"}
        x_QRZ = self.hidden(z_QRZ, {}) if shared_dense else z_QRZ
        slot_Q = _slots(user_Q)
        x_USRZ = x_QRZ.new_zeros(users, int(slot_Q.max()) + 1, *x_QRZ.shape[1:])
        x_USRZ = x_USRZ.index_put((user_Q, slot_Q), x_QRZ).flatten(1, 2)
        logits_USR2: Tensor = self.output(x_USRZ, deltas) if shared_dense else self(x_USRZ, deltas)
        return logits_USR2.reshape(users, -1, rows, 2)[user_Q, slot_Q]


class LinearHead(Head):
    """The user's output layer alone. `linear`; and `bayesian_linear`, whose deltas have the same shape: jointly it is
    trained as `linear`, a new user's is solved for under a prior estimated from the training users
    (`hydra_ray.training.user_fit.bayesian_linear`)."""

    def delta_shapes(self) -> dict[str, tuple[int, ...]]:
        """See `Head`."""
        return {"out_weight": (self.width, 2), "out_bias": (2,)}


class DenseHead(LinearHead):
    """A user's delta covers both layers, (Z + 1) Z + 2 (Z + 1) numbers: the paper's."""

    def delta_shapes(self) -> dict[str, tuple[int, ...]]:
        """See `Head`."""
        return {"dense_weight": (self.width, self.width), "dense_bias": (self.width,), **super().delta_shapes()}

    def dense_layer(self, x_QRZ: Tensor, deltas: Deltas) -> Tensor:
        """See `Head`."""
        h_QRZ = super().dense_layer(x_QRZ, deltas)
        if not deltas:
            return h_QRZ
        return h_QRZ + torch.bmm(x_QRZ, deltas["dense_weight"]) + deltas["dense_bias"].unsqueeze(1)


class LowRankHead(LinearHead):
    """A rank-K delta of the dense layer and the user's own output layer."""

    def __init__(self, width: int, config: ModelConfig) -> None:
        super().__init__(width, config)
        self.rank = config.rank
        self.down = nn.Parameter(torch.empty(width, self.rank))
        nn.init.normal_(self.down, std=1 / math.sqrt(width))

    def delta_shapes(self) -> dict[str, tuple[int, ...]]:
        """See `Head`."""
        return {"down": (self.width, self.rank), "up": (self.rank, self.width), **super().delta_shapes()}

    def dense_layer(self, x_QRZ: Tensor, deltas: Deltas) -> Tensor:
        """See `Head`."""
        h_QRZ = super().dense_layer(x_QRZ, deltas)
        if not deltas:
            return h_QRZ
        return h_QRZ + torch.bmm(_thin(x_QRZ, self.down + deltas["down"]), deltas["up"])


class _Thin(torch.autograd.Function):
    """x [Q, R, Z] @ w [Q, Z, C] where w has few columns.

    As the transpose of w' @ x', so that the long side lies along memory; each gradient is written out the way that is
    fast for it. On a CPU 5 times as fast as `bmm` at C = 2, twice at C = 8 (G = 256, R = 80, Z = 68).
    """

    @staticmethod
    def forward(ctx: Any, x_QRZ: Tensor, w_QZC: Tensor) -> Tensor:
        ctx.save_for_backward(x_QRZ, w_QZC)
        return torch.bmm(w_QZC.mT, x_QRZ.mT).mT

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (g_QRC,), (x_QRZ, w_QZC) = gradients, ctx.saved_tensors
        of_x = torch.bmm(g_QRC, w_QZC.mT) if ctx.needs_input_grad[0] else None
        of_w = torch.bmm(g_QRC.mT, x_QRZ).mT if ctx.needs_input_grad[1] else None
        return of_x, of_w


def _thin(x_QRZ: Tensor, w_QZC: Tensor) -> Tensor:
    product_QRC: Tensor = _Thin.apply(x_QRZ, w_QZC)  # type: ignore[no-untyped-call]
    return product_QRC


def _slots(user_Q: Tensor) -> Tensor:
    """How many earlier queries the user of each query has, int64 [Q]; user_Q: int64 in [0, U), each at least once."""
    order_Q = torch.argsort(user_Q, stable=True)
    counts_U = torch.bincount(user_Q)
    first_U = counts_U.cumsum(0) - counts_U
    slot_Q = torch.empty_like(user_Q)
    slot_Q[order_Q] = torch.arange(len(user_Q), device=user_Q.device) - first_U[user_Q[order_Q]]
    return slot_Q


def take_rows(
    deltas: Deltas, rows: Tensor, device: torch.device | None = None, buffers: Deltas | None = None
) -> Deltas:
    """The deltas of the users at `rows` (int64 [n], on the deltas' device), as leaves that collect gradients.

    buffers: memory that a caller keeps from step to step, grown here; what was taken into it holds until the next
    take. Fresh memory for a batch of dense heads costs more in page faults than the copy itself.
    """
    taken: Deltas = {}
    for name, value in deltas.items():
        if buffers is None:
            copy = value.index_select(0, rows)
        else:
            if name not in buffers or len(buffers[name]) < len(rows):
                buffers[name] = value.new_empty(len(rows), *value.shape[1:])
            copy = torch.index_select(value, 0, rows, out=buffers[name][: len(rows)])
        taken[name] = copy.to(device).requires_grad_()
    return taken


def scores(logits_QR2: Tensor) -> Tensor:
    """The ranking score of each row, [Q, R]: the log-odds of the positive class."""
    return logits_QR2[..., 1] - logits_QR2[..., 0]


def gather(deltas: Deltas, rows: Tensor) -> Deltas:
    """The deltas of the users at `rows` (int64 [Q]): name -> [Q, ...]."""
    return {name: value.index_select(0, rows) for name, value in deltas.items()}


def new_head(width: int, config: ModelConfig) -> "Head":
    """The shared head of the kind that `model.head` names; of `mixture`, a class with the same interface."""
    head: Head = head_kind(config.head).new(width, config)
    head.kind = config.head
    return head


def make_head(kind: str, width: int, rank: int, dropout: float) -> "Head":
    """The same, without a whole configuration."""
    return new_head(width, ModelConfig(head=kind, rank=rank, dropout=dropout))


def parameters_per_user(kind: str, width: int, rank: int) -> int:
    """Numbers stored per user and component (fp32: times 4 bytes)."""
    with torch.device("meta"):
        return sum(math.prod(shape) for shape in make_head(kind, width, rank, 0.0).delta_shapes().values())
