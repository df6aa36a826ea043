"""The cross-entropy of rows' answers under a decoder LM.

Shapes: B rows, T tokens, K positions whose logits are computed, N learned tokens of all rows, V tokens of the
vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hydra_ray.training.user_lora.rows import TokenRow

PAD = 0
"""What stands behind a row; any token will do."""


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Rows padded on the right, which a causal model's real tokens never look at: no mask is needed.

    Attributes:
        ids: int64 [B, T].
        kept: Positions that predict a learned token in some row, int64 [K], ascending.
        row, place: Of every learned token, its row and the place in `kept` that predicts it, int64 [N].
        target: The learned tokens, int64 [N].
    """

    ids: Tensor
    kept: Tensor
    row: Tensor
    place: Tensor
    target: Tensor

    @classmethod
    def of(cls, rows: Sequence[TokenRow], device: torch.device, skipped: int = 0) -> "RowBatch":
        """At least one row. skipped: tokens that each leaves out at its front, fewer than any prompt has."""
        ids = torch.full((len(rows), max(len(row.ids) for row in rows) - skipped), PAD)
        for b, row in enumerate(rows):
            ids[b, : len(row.ids) - skipped] = torch.tensor(row.ids[skipped:])
        number = torch.cat([torch.full((row.learned,), b) for b, row in enumerate(rows)])
        position = torch.cat([torch.arange(row.prompt - 1, len(row.ids) - 1) for row in rows]) - skipped
        target = torch.cat([torch.tensor(row.ids[row.prompt :]) for row in rows])
        kept, place = torch.unique(position, return_inverse=True)
        return cls(*(tensor.to(device, non_blocking=True) for tensor in (ids, kept, number, place, target)))


def row_losses(model: Any, batch: RowBatch, past: Any = None) -> Tensor:
    """The sum over each row's learned tokens of their cross-entropy, nats, float32 [B].

    past: keys and values of the tokens that the batch has skipped, as the model takes them.
    """
    out = model(input_ids=batch.ids, past_key_values=past, use_cache=past is not None, logits_to_keep=batch.kept)
    loss_N = F.cross_entropy(out.logits[batch.row, batch.place].float(), batch.target, reduction="none")
    return torch.zeros(len(batch.ids), device=loss_N.device).index_add(0, batch.row, loss_N)
