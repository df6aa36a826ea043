"""A head without a fit: F shared heads, mixed by weights that a router reads from the user's own items.

Shapes: U users, H items of the user with most, D width of an embedding, F experts, Q queries, R rows, Z pair embedding.
The design follows mixture-of-facets personalisation (2026): frozen embeddings of the history, a linear router, softmax
over the best few experts. In place of its Transformer and sparse autoencoder stands the mean of a small network over
the items (Deep Sets, Zaheer et al. 2017).
"""

import math

import torch
from torch import Tensor, nn

from hydra_ray.config import ModelConfig
from hydra_ray.models.heads import Deltas

PROFILE, PRESENT, MIXTURE = "profile", "present", "mixture"
"""Names in `Deltas`: embeddings [U, H, D] and which of them exist [U, H]; or the weights that the router made of them,
less 1/F, [U, F]: zeros are the shared head's mixture, all experts alike, as zeros are the shared head elsewhere."""


class MixtureHead(nn.Module):
    """F heads like `Head`, and a mixture of their logits. The same interface."""

    def __init__(self, width: int, experts: int, dropout: float) -> None:
        super().__init__()
        self.kind = "mixture"
        self.width, self.experts = width, experts
        self.dropout = nn.Dropout(dropout)
        # As in `Head`, each begins as tanh(z); noise sets them apart.
        self.dense = nn.Parameter(torch.eye(width).repeat(experts, 1, 1) + torch.randn(experts, width, width) * 0.02)
        self.bias = nn.Parameter(torch.zeros(experts, width))
        self.out = nn.Parameter(torch.randn(experts, width, 2) / math.sqrt(width))
        self.out_bias = nn.Parameter(torch.zeros(experts, 2))

    def delta_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of what is kept of a user."""
        return {MIXTURE: (self.experts,)}

    def zeros(self, users: int) -> Deltas:
        """The shared head's mixture."""
        return {MIXTURE: torch.zeros(users, self.experts)}

    def learned(self, users: int) -> Deltas:
        """See `Head.learned`: nothing is any user's own."""
        return {}

    def of_users(self, z_QRZ: Tensor, deltas: Deltas, user_Q: Tensor) -> Tensor:
        """Logits [Q, R, 2]; see `Head.of_users`."""
        logits_QR2: Tensor = self(z_QRZ, {name: value[user_Q] for name, value in deltas.items()})
        return logits_QR2

    def forward(self, z_QRZ: Tensor, deltas: Deltas) -> Tensor:
        """Logits [Q, R, 2]; deltas: one mixture per query (empty: the shared head's)."""
        x_QRZ = self.dropout(z_QRZ)
        h_QRFZ = torch.tanh(torch.einsum("qrz,fzy->qrfy", x_QRZ, self.dense) + self.bias)
        logits_QRF2 = torch.einsum("qrfz,fzk->qrfk", self.dropout(h_QRFZ), self.out) + self.out_bias
        if not deltas:
            return logits_QRF2.mean(2)
        logits_QR2: Tensor = torch.einsum("qrfk,qf->qrk", logits_QRF2, 1 / self.experts + deltas[MIXTURE])
        return logits_QR2


def make_mixture(width: int, config: ModelConfig) -> MixtureHead:
    """The head of a model."""
    return MixtureHead(width, config.num_experts, config.dropout)


class Router(nn.Module):
    """Mixture weights from a user's items: no parameter of its own for any user."""

    def __init__(self, width_in: int, width: int, experts: int, top: int) -> None:
        super().__init__()
        self.top = top
        self.record = nn.Sequential(nn.Linear(width_in, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.out = nn.Linear(width, experts)

    def forward(self, profile_UHD: Tensor, present_UH: Tensor) -> tuple[Tensor, Tensor]:
        """(weights [U, F], softmax over the best `top`; probabilities [U, F], over all)."""
        unit_UHD = nn.functional.normalize(profile_UHD, dim=-1)
        seen_UHY = self.record(unit_UHD) * present_UH.unsqueeze(-1)
        mean_UY = seen_UHY.sum(1) / present_UH.sum(1, keepdim=True).clamp(min=1)
        logits_UF = self.out(mean_UY)
        kept = logits_UF.topk(self.top, dim=-1).indices
        only_UF = torch.full_like(logits_UF, -math.inf).scatter(-1, kept, logits_UF.gather(-1, kept))
        return torch.softmax(only_UF, -1), torch.softmax(logits_UF, -1)


def mixtures(weights_UF: Tensor) -> Deltas:
    """A router's weights as what is kept of a user (see MIXTURE)."""
    return {MIXTURE: weights_UF - 1 / weights_UF.shape[-1]}


def balance_loss(probability_QF: Tensor, routed_F: Tensor, rows_Q: Tensor) -> Tensor:
    """F times the sum over experts of its share of the rows times its mean probability, summed over rows.

    The load-balancing loss of Switch Transformers (Fedus et al. 2022, eq. 4). routed: each expert's share of the rows
    of the step before, of all workers, so that the loss is a sum over rows of all workers.
    """
    return len(routed_F) * ((probability_QF * routed_F).sum(-1) * rows_Q).sum()
