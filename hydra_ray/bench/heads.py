"""`hydra-ray bench heads`: does a step's cost depend on how many users there are?

One batch of 64 rows, forward and backward, of one row per user (the hard case: nothing is shared; in a table of 50
users 14 of them have two rows). Ours is what a training step does: `take_rows` the batch's users out of the table, the
shared head plus their deltas, the gradient of shared head, inputs and taken deltas. The other side multiplies
a one-hot mask with the whole table, as the released code is described (`one_hot_logits`). The optimiser is not in
either; ours is timed alone. Both run in turns, on the same tables and rows, on one thread: what a training worker has
(`train_variables`), and what method.md's figures were taken on. Dropout is off so that results can be compared.
"""

import resource
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from hydra_ray.bench.timing import interleaved, machine
from hydra_ray.models.heads import Deltas, Head, make_head, take_rows
from hydra_ray.training.joint.user_head_table import UserHeadTable

BATCH, WIDTH, RANK = 64, 768, 8
AGAINST = (50, 100, 400, 1_000)
"""Users of the comparison."""
FLAT: dict[str, tuple[int, ...]] = {
    "dense": (*AGAINST, 2_000),
    "low_rank": (50, 1_000, 10_000, 100_000),
    "linear": (50, 1_000, 10_000, 100_000),
}
"""Users of our own flatness; the largest table of each kind is 4.7, 5.5 and 0.6 GB."""
REPEATS = 5
TOLERANCE = 1e-4
"""The largest difference allowed between both sides' logits and gradients, relative to the largest number there."""

Batch = tuple[Tensor, Tensor, Tensor]
"""z [B, 1, Z], label int64 [B] in {0, 1}, user int64 [B]."""
Step = tuple[Tensor, Deltas, Tensor]
"""What a step gives: logits [B, 1, 2], gradients of the deltas, gradient of z [B, 1, Z]."""


def run(args: Namespace) -> dict[str, Any]:
    """Measures and returns the figures, milliseconds as medians.

    args: `max_users` (default 100,000) leaves out larger tables, `width` (default 768), `repeats` (default 5),
    `threads` (default 1).
    ratio: the one-hot side's time over ours at the most users compared. dense: per number of users `ours_ms`,
    `one_hot_ms` and their ratio. flat: per head kind our slowest over our fastest number of users. update_ms: the
    row-wise Adam on a batch's 64 users, per kind. difference: the largest relative one between both sides' results.
    Raises RuntimeError if the sides disagree.
    """
    width, repeats = int(getattr(args, "width", WIDTH)), int(getattr(args, "repeats", REPEATS))
    largest = int(getattr(args, "max_users", FLAT["linear"][-1]))
    torch.set_num_threads(int(getattr(args, "threads", None) or 1))
    torch.manual_seed(0)
    difference = check_equal(width)
    kinds = {kind: _measure(kind, [u for u in sizes if u <= largest] or [largest], width, repeats)
             for kind, sizes in FLAT.items()}  # fmt: skip
    compared = [figure["ratio"] for figure in kinds["dense"].values() if "ratio" in figure]
    ours = {kind: [figure["ours_ms"] for figure in figures.values()] for kind, figures in kinds.items()}
    return {
        "ratio": compared[-1],
        **kinds,
        "flat": {kind: round(max(values) / min(values), 2) for kind, values in ours.items()},
        "update_ms": {kind: _update_ms(kind, width, repeats) for kind in FLAT},
        "difference": difference,
        "batch": BATCH,
        "width": width,
        "rank": RANK,
        "peak_rss_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        **machine(),
    }


def make_table(head: Head, users: int) -> Deltas:
    """Deltas [U, ...] of trained size (standard deviation 0.01), so that no result is zero."""
    return {name: torch.empty(users, *shape).normal_(std=0.01) for name, shape in head.delta_shapes().items()}


def make_batch(users: int, width: int, device: torch.device | None = None) -> Batch:
    """Rows spread over the table, of as many different users as there are."""
    user_B = torch.randperm(users).repeat(-(-BATCH // users))[:BATCH]
    batch = torch.randn(BATCH, 1, width), torch.randint(0, 2, (BATCH,)), user_B
    return batch[0].to(device), batch[1].to(device), batch[2].to(device)


def gathered_step(head: Head, table: Deltas, batch: Batch, buffers: Deltas | None = None) -> Step:
    """One step our way; the gradients are those of the batch's users [n, ...], ascending.

    buffers: kept from step to step, as `UserHeadTable` keeps them.
    """
    z_B1Z, label_B, user_B = batch
    rows, index_B = torch.unique(user_B, return_inverse=True)
    taken = take_rows(table, rows, z_B1Z.device, buffers)
    z_B1Z = z_B1Z.detach().requires_grad_()
    return _backward(head, head.of_users(z_B1Z, taken, index_B), label_B, taken, z_B1Z)


def one_hot_logits(head: Head, z_B1Z: Tensor, table: Deltas, user_B: Tensor) -> Tensor:
    """The released code's way to a user's weights: logits [B, 1, 2] of rows [B, 1, Z].

    user_B: the rows' users, int64 [B]. table: name -> [U, ...].

    A one-hot mask of users [B, U] is multiplied with the whole table of heads [U, ...], so that every row of the batch
    gets its user's weights, and the gradient of the product covers the whole table (method.md, Costs others report).
    """
    users = len(next(iter(table.values())))
    mask_BU = torch.nn.functional.one_hot(user_B, users).to(z_B1Z.dtype)
    per_row = {
        name: (mask_BU @ value.flatten(1)).reshape(len(mask_BU), *value.shape[1:]) for name, value in table.items()
    }
    logits_B12: Tensor = head(z_B1Z, per_row)
    return logits_B12


def one_hot_step(head: Head, table: Deltas, batch: Batch) -> Step:
    """One step the other way; the gradients are those of all users [U, ...]."""
    z_B1Z, label_B, user_B = batch
    leaves = {name: value.detach().requires_grad_() for name, value in table.items()}
    z_B1Z = z_B1Z.detach().requires_grad_()
    return _backward(head, one_hot_logits(head, z_B1Z, leaves, user_B), label_B, leaves, z_B1Z)


def _backward(head: Head, logits_B12: Tensor, label_B: Tensor, deltas: Deltas, z_B1Z: Tensor) -> Step:
    head.zero_grad(set_to_none=True)
    torch.autograd.backward(torch.nn.functional.cross_entropy(logits_B12.flatten(0, 1), label_B, reduction="sum"))
    assert z_B1Z.grad is not None
    gradients = {name: value.grad for name, value in deltas.items() if value.grad is not None}
    return logits_B12.detach(), gradients, z_B1Z.grad


def check_equal(width: int, users: int = AGAINST[0]) -> float:
    """The largest relative difference between both sides' logits and gradients. Raises RuntimeError above TOLERANCE."""
    head = make_head("dense", width, RANK, 0.0)
    table, batch = make_table(head, users), make_batch(users, width)
    logits, gradients, z_grad = gathered_step(head, table, batch)
    logits_1, gradients_1, z_grad_1 = one_hot_step(head, table, batch)
    rows = torch.unique(batch[2])
    pairs = [(logits, logits_1), (z_grad, z_grad_1), *((gradients[n], gradients_1[n][rows]) for n in table)]
    worst = max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)
    if not worst < TOLERANCE:
        raise RuntimeError(f"both sides differ by {worst:g}, more than {TOLERANCE:g}")
    return worst


def _measure(kind: str, sizes: Sequence[int], width: int, repeats: int) -> dict[str, dict[str, float]]:
    """Per number of users the milliseconds of a step; smaller tables are the first rows of the largest."""
    head = make_head(kind, width, RANK, 0.0)
    whole, buffers = make_table(head, sizes[-1]), Deltas()
    ways: dict[str, Callable[[], object]] = {}
    for users in sizes:
        table, batch = {name: value[:users] for name, value in whole.items()}, make_batch(users, width)
        ways[f"ours {users}"] = partial(gathered_step, head, table, batch, buffers)
        if kind == "dense" and users <= AGAINST[-1]:
            ways[f"one_hot {users}"] = partial(one_hot_step, head, table, batch)
    spent = {name: 1e3 * value for name, value in interleaved(ways, repeats).items()}
    figures: dict[str, dict[str, float]] = {}
    for users in sizes:
        ours, other = spent[f"ours {users}"], spent.get(f"one_hot {users}")
        figures[str(users)] = {"ours_ms": round(ours, 3)}
        if other is not None:
            figures[str(users)] |= {"one_hot_ms": round(other, 3), "ratio": round(other / ours, 2)}
    return figures


def _update_ms(kind: str, width: int, repeats: int) -> float:
    table = UserHeadTable(make_head(kind, width, RANK, 0.0), {str(user): 0 for user in range(BATCH)})
    rows = torch.randperm(BATCH)
    taken = table.take(rows)
    for leaf in taken.values():
        leaf.grad = torch.randn_like(leaf)
    return round(1e3 * interleaved({"update": partial(table.update, rows, taken, 0.05)}, repeats)["update"], 3)
