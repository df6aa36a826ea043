"""`python -m tests.training.ranks PLAN WORLD [PLAN WORLD ...]`: plain processes that train what a PLAN (JSON) lists.

PLAN: [{job, start, keep, die_at, fails}, ...], trained one after the other. start: a checkpoint's folder, or null.
keep: folder that takes the checkpoints, numbered, or null. die_at: after so many checkpoints, training is given up, or
null. fails: whether every rank must raise UserError.
The plans come one after the other, too. The first rank that fails ends it, with its traceback.
"""

import contextlib
import json
import os
import shutil
import sys
from pathlib import Path

os.environ |= {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}

import deepspeed  # noqa: F401  # imported once: the ranks are forked
import pytest
import torch
import torch.multiprocessing

from hydra_ray.errors import UserError
from hydra_ray.training.joint.loop import train_kinds


class GivenUpError(Exception):
    """The run was told to stop here."""


def train(rank: int, plan: str, world: int) -> None:
    """One rank."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{plan}.store", rank=rank, world_size=world)
    for part in json.loads(Path(plan).read_text()):
        taken = 0

        def report(metrics: dict[str, float], folder: Path, part=part) -> None:  # type: ignore[no-untyped-def,type-arg]
            nonlocal taken
            taken += 1
            if part["keep"]:
                shutil.copytree(folder, Path(part["keep"]) / f"{taken:03d}", dirs_exist_ok=True)
            torch.distributed.barrier()
            if part["die_at"] == taken:
                raise GivenUpError

        expected = pytest.raises(UserError) if part["fails"] else contextlib.suppress(GivenUpError)
        with expected:
            train_kinds(part["job"], rank, world, Path(part["start"]) if part["start"] else None, report)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    for plan, world in zip(sys.argv[1::2], map(int, sys.argv[2::2]), strict=True):
        # The first that fails ends the others, who would wait for it.
        torch.multiprocessing.start_processes(train, (plan, world), nprocs=world, start_method="fork")
