"""The rows that users' heads are fitted on, as one padded problem; which of them a user's own fit is tested on.

Shapes: U users, R rows of the user with most rows, Z the width of a pair embedding, Q queries of the user
with most queries.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hydra_ray.errors import UserError

HELD_OUT_EVERY = 4
"""Every fourth query of a user is held out, from the third on: two of ten pseudo-queries."""
FEWEST_QUERIES = 3
"""A user needs so many queries for one to be held out: of two, half would be lost to learning, and one query tested on
after a fit on one other says little about when to stop."""


@dataclass(frozen=True, slots=True)
class PaddedUsers:
    """z [U, R, Z], label [U, R] in {0, 1}, mask [U, R] (1: the row exists), query int64 [U, R].

    query: which of the user's queries the row belongs to, 0, 1, ... in order; -1 where there is no row.
    """

    z: Tensor
    label: Tensor
    mask: Tensor
    query: Tensor

    def __len__(self) -> int:
        return len(self.z)

    def to(self, device: torch.device) -> "PaddedUsers":
        """The same on a device."""
        return PaddedUsers(*(getattr(self, name).to(device) for name in self.__slots__))

    def only(self, kept_UR: Tensor) -> "PaddedUsers":
        """The same users with the rows alone where `kept` (bool or float [U, R]) holds."""
        return replace(self, mask=self.mask * kept_UR.to(self.mask.dtype))

    def users(self, index_U: Tensor) -> "PaddedUsers":
        """The users at `index` (int64)."""
        return PaddedUsers(*(getattr(self, name)[index_U] for name in self.__slots__))

    def rows_by_query(self) -> Tensor:
        """Indices of each query's rows, int64 [U, Q, rows of the longest query]; -1 where there is none."""
        users = len(self)
        exists_UR = self.query >= 0
        if not bool(exists_UR.any()):
            return torch.full((users, 1, 1), -1, dtype=torch.int64, device=self.query.device)
        count_UQ = torch.nn.functional.one_hot(self.query.clamp(min=0)) * exists_UR.unsqueeze(-1)
        # The row's place among its query's rows: how many of them there are up to here.
        place_UR = count_UQ.cumsum(1).gather(2, self.query.clamp(min=0).unsqueeze(-1)).squeeze(-1) - 1
        longest = int(count_UQ.sum(1).max())
        index_UQR = torch.full((users, count_UQ.shape[-1], longest), -1, device=self.query.device)
        u, r = exists_UR.nonzero(as_tuple=True)
        index_UQR[u, self.query[u, r], place_UR[u, r]] = r
        return index_UQR

    def held_out(self) -> Tensor:
        """The rows to test a user's own fit on, bool [U, R]: whole queries, the third, seventh, ... of each user.

        A user with fewer than FEWEST_QUERIES queries has none.
        """
        enough_U = self.query.amax(1) + 1 >= FEWEST_QUERIES
        chosen_UR = self.query % HELD_OUT_EVERY == FEWEST_QUERIES - 1
        return chosen_UR & (self.query >= 0) & enough_U.unsqueeze(1)


def pad_users(
    pair_embeddings: Sequence[NDArray[np.float32]],
    labels: Sequence[NDArray[np.float32]],
    queries: Sequence[NDArray[np.int64]] | None = None,
) -> PaddedUsers:
    """Users' rows as one problem. Rows without a label are left out.

    Args:
        pair_embeddings: Per user [R_u, Z].
        labels: Per user [R_u], NaN where there is none.
        queries: Per user [R_u], any numbers that are equal for rows of one query; a user's queries are counted in order
            of appearance. None: all rows of a user are one query.

    Raises:
        NonFiniteError: A pair embedding is not finite.
    """
    users, rows = len(pair_embeddings), max(1, max((int((~np.isnan(y)).sum()) for y in labels), default=1))
    width = pair_embeddings[0].shape[-1] if users else 0
    z_URZ = torch.zeros(users, rows, width)
    label_UR, mask_UR = torch.zeros(users, rows), torch.zeros(users, rows)
    query_UR = torch.full((users, rows), -1, dtype=torch.int64)
    for u, (z, y) in enumerate(zip(pair_embeddings, labels, strict=True)):
        known = ~np.isnan(y)
        count = int(known.sum())
        z_URZ[u, :count] = torch.from_numpy(z[known])
        label_UR[u, :count] = torch.from_numpy(y[known])
        mask_UR[u, :count] = 1
        query_UR[u, :count] = 0 if queries is None else torch.from_numpy(_in_order(queries[u][known]))
    refuse_nonfinite("pair embeddings", z_URZ)
    return PaddedUsers(z_URZ, label_UR, mask_UR, query_UR)


def _in_order(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same groups, counted 0, 1, ... in order of appearance."""
    _, first, group = np.unique(numbers, return_index=True, return_inverse=True)
    place = np.empty(len(first), dtype=np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    numbered: NDArray[np.int64] = place[group]
    return numbered


class NonFiniteError(UserError):
    """What a batch's users have or got is NaN or infinite. place: of the first user concerned."""

    def __init__(self, what: str, place: int, bad: int, users: int) -> None:
        super().__init__(what, place, bad, users)
        self.place = place

    def __str__(self) -> str:
        return self.of(f"user {self.place}")

    def of(self, who: str) -> str:
        """The message, where the first user concerned is called `who`."""
        what, _, bad, users = self.args
        return (
            f"fit: {what} of {who} are NaN or infinite ({bad} of {users} users in the batch); nothing of the batch was "
            "fitted: look at these users' texts or the base, then run again"
        )


def refuse_nonfinite(what: str, values_U: Tensor) -> None:
    """Raises NonFiniteError if `values` [U, ...] hold NaN or infinity."""
    finite_U = torch.isfinite(values_U).flatten(1).all(1)
    if not bool(finite_U.all()):
        bad = (~finite_U).nonzero().flatten()
        raise NonFiniteError(what, int(bad[0]), len(bad), len(values_U))
