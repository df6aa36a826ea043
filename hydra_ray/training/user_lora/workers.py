"""Users' LoRA on the workers of `resources.fit`: each loads the base once and trains whole buckets of users."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hydra_ray.config.lora import LoraConfig
from hydra_ray.config.resources import WorkerResources, ray_options, worker_range
from hydra_ray.models.lora.decoder import Decoder, load_decoder
from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.training.user_lora.artifact import FOLDER, begin
from hydra_ray.training.user_lora.buckets import BucketTrainer, publish
from hydra_ray.training.user_lora.row_files import read_rows
from hydra_ray.utils.device import worker_device
from hydra_ray.utils.ray_data import actor_pool, alive_nodes
from hydra_ray.utils.ray_errors import unwrap_user_errors

BUCKETS_AT_ONCE = 8
"""Of one call of a worker: what is trained anew, at most, if the worker dies within it."""
CALLS = 4
"""Of each worker at least, as far as there are buckets: a line is logged after each."""


@dataclass(frozen=True, slots=True)
class UserLoraJob:
    """What is trained. Pickles; every path is absolute.

    Attributes:
        base: Folder of the decoder LM.
        rows: Folder with the users' rows (`row_files`).
        out: The artifact's folder (`artifact`).
        config: Of the training.
        seed: Of its draws.
        buckets: The fixed count behind user -> bucket.
        users: Bucket -> ids of the users that have rows.
        system: Stands before every prompt; None: nothing does.
        num_gpus: What each worker was promised.
    """

    base: Path
    rows: Path
    out: Path
    config: LoraConfig
    seed: int
    buckets: int
    users: Mapping[int, Sequence[str]]
    system: str | None = None
    num_gpus: float = 0.0


class TrainBuckets:
    """Ray Data's callable: lists of buckets in, numbers of users out."""

    def __init__(self, job: UserLoraJob) -> None:
        self._job = job

    @cached_property
    def _trainer(self) -> BucketTrainer:
        """Loaded at the first buckets: a UserError of a constructor would not reach the driver."""
        job = self._job
        base = load_decoder(job.base, job.config.precision, worker_device(job.num_gpus))
        store = HeadStore.open(str(job.out / FOLDER))
        return BucketTrainer(base, store, job.out, job.config, job.seed, job.system)

    def __call__(self, batch: dict[str, Any]) -> pa.Table:
        """batch: `buckets`, lists of numbers. Returns `users`, how many these hold, and `trained`, how many of them had
        not been trained before. Raises UserError as `BucketTrainer.work`; finished buckets stay."""
        users, trained = [], []
        for buckets in batch["buckets"]:
            part = {int(bucket): self._job.users[int(bucket)] for bucket in buckets}
            trained.append(self._trainer.work(part, lambda bucket: read_rows(self._job.rows, bucket)))
            users.append(sum(map(len, part.values())))
        return pa.table({"users": np.asarray(users), "trained": np.asarray(trained)})


def train_on_workers(job: UserLoraJob, base: Decoder, wanted: WorkerResources, log: Callable[[str], None]) -> int:
    """Trains all users of a job and publishes their LoRA; what an earlier attempt has finished stays. Needs a running
    Ray.

    Args:
        job: What is trained.
        base: Of the job, loaded.
        wanted: How many workers, and what each reserves.
        log: Gets a line after each of the workers' calls.

    Returns:
        The version of the artifact's head store.

    Raises:
        UserError: A user's mistake, as `BucketTrainer.work`.
    """
    import ray

    workers = worker_range(wanted, alive_nodes)
    store = begin(job.out, base, job.config, job.seed, job.buckets)
    every, done, before = sorted(job.users), 0, 0
    size = max(1, min(BUCKETS_AT_ONCE, len(every) // (CALLS * workers[1])))
    parts = [every[start : start + size] for start in range(0, len(every), size)]
    total = sum(map(len, job.users.values()))
    if parts:
        with unwrap_user_errors():
            results = ray.data.from_items([{"buckets": part} for part in parts]).map_batches(
                TrainBuckets,
                fn_constructor_args=(job,),
                batch_size=1,
                compute=actor_pool(workers),
                **ray_options(wanted),
            )
            for row in results.iter_rows():
                done += int(row["users"])
                before += int(row["users"]) - int(row["trained"])
                earlier = f", {before:,} of them by an earlier run" if before else ""
                log(f"LoRA of {done:,} of {total:,} users trained{earlier}")
    return publish(store, job.out, every)
