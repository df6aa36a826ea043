"""The gradients of a step: all users' rows, cut into forwards of a bounded size.

Shapes: n users, B rows of a forward.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hydra_ray.models.encoder import batches_by_length
from hydra_ray.models.lora.decoder import Decoder
from hydra_ray.models.lora.stacked import StackedLora
from hydra_ray.training.user_lora.losses import RowBatch, row_losses
from hydra_ray.training.user_lora.rows import TokenRow
from hydra_ray.training.user_lora.shared_prefix import SHORTEST, SharedPrefix, common_tokens

PAST_SHARE = 4
"""A past token of a row, of which keys and values alone are kept, counts as one of so many tokens of a forward."""


class StepRow(NamedTuple):
    """A row of a step: its user's place in the stack, and its number for dropout (None: without)."""

    user: int
    row: TokenRow
    key: int | None


class StepGradients:
    """Adds up the gradients of users' mean losses in the stacked weights.

    Without dropout, tokens that all rows of a step begin with are computed once a user. (With it, every row draws for
    its own.)
    """

    def __init__(self, base: Decoder, lora: StackedLora, forward_tokens: int) -> None:
        """forward_tokens: of one forward, padding included; a longer row is a forward of its own."""
        self._base, self._lora, self._tokens = base, lora, forward_tokens
        self._shares = True

    def add(self, rows: Sequence[StepRow], users: int) -> Tensor:
        """Each user's loss, the mean over the learned tokens of the user's rows, nats, on the base's device [n].

        Args:
            rows: Of the first n users of the stack, at least one of each, users one after the other.
            users: n.
        """
        device = self._base.device
        tokens_n = torch.zeros(users)
        learned = torch.tensor([float(row.row.learned) for row in rows])
        tokens_n.index_add_(0, torch.tensor([row.user for row in rows]), learned)
        share_n, loss_n = (1 / tokens_n).to(device), torch.zeros(users, device=device)
        shared = common_tokens([row.row for row in rows]) if len(rows) > users and rows[0].key is None else 0
        if not self._shares or shared < SHORTEST:
            self._forwards(rows, share_n, loss_n)
            return loss_n
        at_once = max(1, self._tokens // shared)
        for first in range(0, users, at_once):
            part = [row for row in rows if first <= row.user < first + at_once]
            user_n = torch.arange(first, min(first + at_once, users), device=device)
            prefix = SharedPrefix.of_users(self._base.model, self._lora, part[0].row.ids[:shared], user_n)
            self._shares = prefix is not None
            self._forwards(part, share_n, loss_n, prefix, shared if prefix else 0, first)
            if prefix:
                prefix.backward()
        return loss_n

    def _forwards(
        self, rows: Sequence[StepRow], share_n: Tensor, loss_n: Tensor, prefix: SharedPrefix | None = None,
        shared: int = 0, first: int = 0,
    ) -> None:  # fmt: skip
        """Forward and backward of rows, without their first `shared` tokens, which `prefix` holds of the users from
        `first` on."""
        for part in batches_by_length([len(row.row.ids) - shared + shared // PAST_SHARE for row in rows], self._tokens):
            chosen = [rows[i] for i in part]
            user_B = torch.tensor([row.user for row in chosen], device=self._base.device)
            batch = RowBatch.of([row.row for row in chosen], self._base.device, shared)
            with self._lora.of_users(user_B, self._keys(chosen)):
                past = prefix.of_rows(user_B - first) if prefix else None
                loss_B = row_losses(self._base.model, batch, past) * share_n[user_B]
            torch.autograd.backward(loss_B.sum())
            loss_n.index_add_(0, user_B, loss_B.detach())

    def _keys(self, rows: Sequence[StepRow]) -> Tensor | None:
        keys = [row.key for row in rows if row.key is not None]
        return torch.tensor(keys, dtype=torch.int32, device=self._base.device) if keys else None
