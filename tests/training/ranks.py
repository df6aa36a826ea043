"""`python -m tests.training.ranks PLAN WORLD [PLAN WORLD ...]`: plain processes that train what a PLAN lists.

PLAN (pickled): Parts, trained one after the other.
The plans come one after the other, too. The first rank that fails ends it, with its traceback.
"""

import os
import pickle
import shutil
import sys
from pathlib import Path

os.environ |= {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}

import deepspeed  # noqa: F401  # imported once: the ranks are forked
import torch
import torch.multiprocessing

from hydra_ray.errors import UserError
from hydra_ray.training.joint.loop import train_kinds
from tests.training.tiny import Part


class GivenUpError(Exception):
    """The run is to stop here."""


def train(rank: int, plan: str, world: int) -> None:
    """One rank."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{plan}.store", rank=rank, world_size=world)
    parts: list[Part] = pickle.loads(Path(plan).read_bytes())
    for part in parts:
        taken = 0

        def report(metrics: dict[str, float], folder: Path, part: Part = part) -> None:
            nonlocal taken
            taken += 1
            if part.keep:
                shutil.copytree(folder, part.keep / f"{taken:03d}", dirs_exist_ok=True)
            torch.distributed.barrier()
            if part.die_at == taken:
                raise GivenUpError

        try:
            train_kinds(part.job, rank, world, part.start, report)
        except GivenUpError:
            pass
        except UserError as error:
            if not part.fails:
                raise
            (part.job.scratch / f"error-{rank}").write_text(str(error))
        else:
            assert not part.fails
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    for plan, world in zip(sys.argv[1::2], map(int, sys.argv[2::2]), strict=True):
        # The first that fails ends the others, who would wait for it.
        torch.multiprocessing.start_processes(train, (plan, world), nprocs=world, start_method="fork")
