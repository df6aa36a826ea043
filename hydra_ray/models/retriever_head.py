"""A user's own head on a dense retriever's score: how much more or less each number of the embeddings counts.

The retriever's score of an item is the sum of the D products q_j d_j of a query's numbers and an item's. A user's is
the sum of (1 + w_j) q_j d_j: a linear head on the products, whose zeros leave the retriever as it is. Items keep their
embeddings, so that the query times 1 + w searches any index of them.

Shapes: Q queries, or users with all their rows, R rows (items) of each, D numbers of an embedding.
"""

import torch
from torch import Tensor, nn

from hydra_ray.models.heads import Deltas, Head

WEIGHT = "weight"
"""The name of w in a head's deltas."""


class RetrieverHead(Head):
    """The retriever as the shared head of rows of products [Q, R, D]; a user's delta is w. It has no weights."""

    kind = "linear"

    def __init__(self, width: int) -> None:
        """width: D."""
        nn.Module.__init__(self)
        self.width = width

    def delta_shapes(self) -> dict[str, tuple[int, ...]]:
        """See `Head`."""
        return {WEIGHT: (self.width,)}

    def forward(self, z_QRD: Tensor, deltas: Deltas) -> Tensor:
        """See `Head`: logits [Q, R, 2] whose log-odds are the scores."""
        score_QR = torch.bmm(z_QRD, 1 + deltas[WEIGHT].unsqueeze(-1)).squeeze(-1) if deltas else z_QRD.sum(-1)
        return torch.stack((torch.zeros_like(score_QR), score_QR), -1)
