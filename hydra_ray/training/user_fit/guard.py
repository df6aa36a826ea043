"""The guard: a user's head is used only if the user's own held-out queries speak for it.

Early stopping (`hydra_ray.training.user_fit.early_stopping`) asks whether a head's loss is lower; the guard asks what
it is used for: which row of a query comes first. Each of the user's queries is held out once: heads are fitted without
it, and the row that they put first is compared with the one that the shared head puts first. A user whose heads put
fewer right rows first keeps the shared head. An adapter's head must put more right rows first: its first row is the
answer, and a head that changes no answer there changes others by chance alone. (On news_sections, 68 users in five
folds, adapter heads that changed none of their users' own held-out answers cost .02 of accuracy. A reranker keeps k
rows.)

Shapes: U users, R rows of the user with most rows, Q queries, L rows of the longest query.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from hydra_ray.models.heads import Deltas, Head
from hydra_ray.training.user_fit.padded_users import FEWEST_QUERIES, PaddedUsers
from hydra_ray.training.user_fit.user_scores import user_scores

Refit = Callable[[PaddedUsers], Deltas]
"""Heads of the same users on fewer rows."""


def worse_than_shared_head(
    head: Head, rows: PaddedUsers, parts: int, refit: Refit, *, needs_gain: bool = False
) -> Tensor:
    """Whether a user's head, fitted without them, does worse on the user's queries than the shared head.

    Args:
        head: The shared head.
        rows: The users' rows.
        parts: The users' queries are cut into so many, each held out once; every part costs one fit.
        refit: Fits the users' heads on some of the rows.
        needs_gain: Whether doing as well is not enough.

    Returns:
        bool [U]; False for users with fewer than FEWEST_QUERIES queries, on which nothing can be shown.
    """
    enough_U = rows.query.amax(1) + 1 >= FEWEST_QUERIES
    scored = user_scores(head, rows.z)
    before_UQ = first_labels(rows, scored.of({}).clone())
    gain_U = torch.zeros(len(rows), dtype=rows.label.dtype, device=rows.label.device)
    part_Q = torch.arange(before_UQ.shape[1], device=rows.z.device) % parts
    for part in range(parts):
        learned = rows.only((rows.query % parts != part) & (rows.query >= 0))
        after_UQ = first_labels(rows, scored.of(refit(learned)))
        gain_U += ((after_UQ - before_UQ) * (part_Q == part)).sum(1)
    return enough_U & (gain_U <= 0 if needs_gain else gain_U < 0)


def first_labels(rows: PaddedUsers, scores_UR: Tensor) -> Tensor:
    """The label of each query's highest-scored row, [U, Q]; 0 for queries without rows."""
    index_UQL = rows.rows_by_query()
    users, queries, longest = index_UQL.shape
    place_UK = index_UQL.clamp(min=0).flatten(1)
    real_UQL = (index_UQL >= 0) & (rows.mask.gather(1, place_UK).view(users, queries, longest) > 0)
    found_UQL = scores_UR.gather(1, place_UK).view(users, queries, longest)
    top_UQ = found_UQL.masked_fill(~real_UQL, -torch.inf).argmax(2)
    label_UQL = rows.label.gather(1, place_UK).view(users, queries, longest)
    label_UQ = label_UQL.gather(2, top_UQ.unsqueeze(2)).squeeze(2)
    return torch.where(real_UQL.any(2), label_UQ, torch.zeros_like(label_UQ))
