"""Part of `hydra_ray.bench.cuda`: a training step of user heads, which live on the device or in its node's memory.

A step takes the rows of its users, begins to fetch those of the next one, goes forward and backward, and updates with
the row-wise Adam, as the worker of joint training does; encodings are random.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import psutil
import torch

from hydra_ray.bench.timing import interleaved
from hydra_ray.models.heads import make_head, parameters_per_user
from hydra_ray.models.losses import loss_sum
from hydra_ray.training.joint.head_plan import HeadSizes, Place
from hydra_ray.training.joint.user_head_table import UserHeadTable
from hydra_ray.utils.device import free_memory, release_memory

ROWS_A_QUERY = 8
RANK = 8
LR = 0.05
HOST_SHARE = 0.25
"""Of the node's free memory, for heads that live there: pinning takes seconds per gigabyte."""
MOST_USERS = 4_000_000
"""Of a table: their ids, as Python strings, take 0.5 GB then."""


@dataclass(frozen=True, slots=True)
class StepSizes:
    """What is measured.

    Attributes:
        width: Z.
        rows: Of a step, each a multiple of ROWS_A_QUERY.
        users: Of the table.
        most: Whether the table with the most users that fit is measured, too.
        repeats: Timed steps.
    """

    width: int
    rows: tuple[int, ...]
    users: tuple[int, ...]
    most: bool
    repeats: int


LARGE = StepSizes(768, (64, 4096), (1_000, 100_000), True, 10)
SMALL = StepSizes(16, (16, 32), (10, 40), False, 2)


def step_times(sizes: StepSizes, device: torch.device) -> dict[str, Any]:
    """Per kind and place, milliseconds of a step by users and rows, as medians.

    Returns:
        kind -> `device` and `host` -> users -> rows -> milliseconds; a table that does not fit is left out. `flat`:
        kind -> slowest over fastest number of users on the device, at the fewest rows.
    """
    times: dict[str, Any] = {}
    for kind in ("linear", "low_rank", "dense"):
        times[kind] = {place: _of_place(kind, place, sizes, device) for place in ("device", "host")}
    of_fewest = {kind: [ms[str(sizes.rows[0])] for ms in found["device"].values()] for kind, found in times.items()}
    flat = {kind: round(max(values) / min(values), 2) for kind, values in of_fewest.items() if values}
    return {**times, "flat": flat}


def _of_place(kind: str, place: Place, sizes: StepSizes, device: torch.device) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for users in table_sizes(kind, place, sizes, device):
        release_memory(device)
        head = make_head(kind, sizes.width, RANK, 0.0).to(device)
        table = UserHeadTable(head, {str(user): 0 for user in range(users)}, device, place)
        found[str(users)] = {str(rows): _step_ms(table, head, rows, sizes, device) for rows in sizes.rows}
        del table
    return found


def table_sizes(kind: str, place: Place, sizes: StepSizes, device: torch.device) -> list[int]:
    """The numbers of users whose heads fit: those asked for and, if wanted, the most of them."""
    numbers = parameters_per_user(kind, sizes.width, RANK)
    batch = max(sizes.rows) // ROWS_A_QUERY
    room = HeadSizes(MOST_USERS, numbers, batch)
    if place == "host":
        most = int(psutil.virtual_memory().available * HOST_SHARE) // room.user_bytes
    else:
        most = room.most(free_memory(device, 1.0))
    most = min(most, MOST_USERS)
    fitting = [users for users in sizes.users if users <= most]
    return [*fitting, most] if sizes.most and place == "device" and most > max(fitting, default=0) else fitting


def _step_ms(table: UserHeadTable, head: Any, rows: int, sizes: StepSizes, device: torch.device) -> float:
    """Steps on two sets of users in turns, so that rows are fetched ahead for another step than the present one."""
    users, queries = len(table.user_ids), rows // ROWS_A_QUERY
    picked = [torch.randperm(users)[: min(queries, users)].sort().values for _ in range(2)]
    turns: Iterator[int] = cycle((0, 1))
    z_QRZ = torch.randn(queries, ROWS_A_QUERY, sizes.width, device=device)
    label_QR = (z_QRZ[..., 0] > 0).float()
    mask_QR = torch.ones_like(label_QR)

    def step() -> None:
        turn = next(turns)
        now, following = picked[turn], picked[1 - turn]
        taken = table.take(now)
        table.prefetch(following)
        user_Q = torch.arange(queries, device=device) % len(now)
        head.zero_grad(set_to_none=True)
        torch.autograd.backward(loss_sum(head.of_users(z_QRZ, taken, user_Q), label_QR, mask_QR))
        table.update(now, taken, LR)

    spent = interleaved({"step": step}, sizes.repeats, device)["step"]
    table.settle()
    return round(1e3 * spent, 3)
