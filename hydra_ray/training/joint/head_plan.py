"""Where one worker's heads live while they are trained: on its device, or in its node's memory. Pure."""

from dataclasses import dataclass
from typing import Literal

from hydra_ray.errors import UserError

FLOAT = 4
ARRAYS = 3
"""A delta and Adam's two moments."""
STEP_ARRAYS = 8
"""What a step holds of each of its users in addition: deltas, moments, gradients and what the update makes of them."""
AHEAD_ARRAYS = 3
"""What a device holds of each of the next step's users, where the table is in its node's memory."""
STAGED_ARRAYS = 2 * ARRAYS
"""What the node's memory holds of each of a step's users then: rows on their way to the device and back."""
GB = 1e9

Place = Literal["device", "host"]


@dataclass(frozen=True, slots=True)
class HeadSizes:
    """What decides.

    Attributes:
        users: Of this worker.
        numbers: Of one user's delta.
        batch_users: Users of a step at most.
    """

    users: int
    numbers: int
    batch_users: int

    @property
    def user_bytes(self) -> int:
        """A user's delta, moments and count of steps."""
        return FLOAT * (ARRAYS * self.numbers + 1)

    @property
    def table_bytes(self) -> int:
        """All users'."""
        return self.users * self.user_bytes

    @property
    def step_bytes(self) -> int:
        """What a step takes besides the table, where both are in one place."""
        return self._of_batch(STEP_ARRAYS)

    @property
    def ahead_bytes(self) -> int:
        """What a step takes of a device, where the table is in its node's memory."""
        return self._of_batch(STEP_ARRAYS + AHEAD_ARRAYS)

    @property
    def staged_bytes(self) -> int:
        """What a step takes of its node's memory besides the table then."""
        return self._of_batch(STAGED_ARRAYS)

    def _of_batch(self, arrays: int) -> int:
        return min(self.users, self.batch_users) * FLOAT * arrays * self.numbers

    def most(self, free: int) -> int:
        """Users whose heads fit into so many bytes together with a step's."""
        return max(0, free - self.step_bytes) // self.user_bytes


def plan_heads(sizes: HeadSizes, device: int | None, host: int) -> Place:
    """Where the heads live.

    Args:
        sizes: Of this worker's heads.
        device: Bytes that the worker may fill on its device; None: it computes on the CPU.
        host: Bytes of its node's memory that it may fill.

    Raises:
        UserError: They fit nowhere; with what would fit.
    """
    if device is not None and sizes.table_bytes + sizes.step_bytes <= device:
        return "device"
    other = sizes.step_bytes if device is None else sizes.staged_bytes
    if sizes.table_bytes + other <= host and (device is None or sizes.ahead_bytes <= device):
        return "host"
    places = [f"its node's memory has room for {host / GB:.1f} GB ({sizes.most(host):,} users)"]
    if device is not None:
        places.insert(0, f"its GPU for {device / GB:.1f} GB ({sizes.most(device):,} users)")
    raise UserError(
        f"heads of {sizes.users:,} users of {sizes.numbers:,} numbers each, with their optimizer's state, take "
        f"{sizes.table_bytes / GB:.1f} GB on one training worker, and {sizes.step_bytes / GB:.1f} GB a step; "
        f"{', '.join(places)}: use more nodes (resources.train), a smaller head (model.head=linear, model.rank, "
        "model.pair_dim), or a smaller train.batch_size"
    )
