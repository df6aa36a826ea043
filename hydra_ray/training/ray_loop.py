"""What a `train_loop_per_worker` of Ray's TorchTrainer has from Ray: its rank, a checkpoint to go on from, reports."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

Report = Callable[[dict[str, float], Path], None]
"""Takes metrics and the folder of this rank's part of a checkpoint; a barrier."""


class RayWorker(NamedTuple):
    """One rank.

    Attributes:
        rank, world: Its number, and how many there are.
        start: Folder of the checkpoint to go on from; None: there is none.
        report: To Ray.
    """

    rank: int
    world: int
    start: Path | None
    report: Report


@contextmanager
def ray_worker(*, whole: bool) -> Iterator[RayWorker]:
    """This process's rank, in a `train_loop_per_worker`. whole: rank 0's folder is the whole checkpoint."""
    import ray.train

    context, latest = ray.train.get_context(), ray.train.get_checkpoint()
    rank = context.get_world_rank()

    def report(metrics: dict[str, float], folder: Path) -> None:
        made = None if whole and rank else ray.train.Checkpoint.from_directory(folder)
        ray.train.report(metrics, checkpoint=made)

    with ExitStack() as stack:
        start = Path(stack.enter_context(latest.as_directory())) if latest else None
        yield RayWorker(rank, context.get_world_size(), start, report)
