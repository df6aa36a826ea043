"""`python -m tests.train.ranks PLAN RANK WORLD`: one rank of plain processes that train what PLAN (JSON) lists.

PLAN: [{job, start, keep, die_at}, ...], trained one after the other. start: a checkpoint's folder, or null. keep:
folder that takes the checkpoints, numbered, or null. die_at: after so many checkpoints, training is given up, or null.
"""

import contextlib
import json
import os
import shutil
import sys
from pathlib import Path

plan, rank, world = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
os.environ |= {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}
os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}

import torch  # noqa: E402

from hydra_ray.train.loop import train_kinds  # noqa: E402


class GivenUpError(Exception):
    """The run was told to stop here."""


torch.set_num_threads(1)
torch.distributed.init_process_group("gloo", init_method=f"file://{plan}.store", rank=rank, world_size=world)
for part in json.loads(plan.read_text()):
    taken = 0

    def report(metrics: dict[str, float], folder: Path, part=part) -> None:  # type: ignore[no-untyped-def,type-arg]
        global taken
        taken += 1
        if part["keep"]:
            shutil.copytree(folder, Path(part["keep"]) / f"{taken:03d}", dirs_exist_ok=True)
        torch.distributed.barrier()
        if part["die_at"] == taken:
            raise GivenUpError

    with contextlib.suppress(GivenUpError):
        train_kinds(part["job"], rank, world, Path(part["start"]) if part["start"] else None, report)
torch.distributed.destroy_process_group()
