"""The released code's way to a user's weights, written from its description: the other side of the `heads` bench.

A one-hot mask of users [B, U] is multiplied with the whole table of heads [U, ...], so that every row of the batch gets
its user's weights, and the gradient of the product covers the whole table (method.md, Costs others report).
"""

import torch
from torch import Tensor

from hydra_ray.models.heads import Deltas, Head


def one_hot_logits(head: Head, z_B1Z: Tensor, table: Deltas, user_B: Tensor) -> Tensor:
    """Logits [B, 1, 2] of rows [B, 1, Z] of the users `user_B` (int64 [B]); `table`: name -> [U, ...]."""
    users = len(next(iter(table.values())))
    mask_BU = torch.nn.functional.one_hot(user_B, users).to(z_B1Z.dtype)
    per_row = {
        name: (mask_BU @ value.flatten(1)).reshape(len(mask_BU), *value.shape[1:]) for name, value in table.items()
    }
    logits_B12: Tensor = head(z_B1Z, per_row)
    return logits_B12
