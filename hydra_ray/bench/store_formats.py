"""The formats a head store could have been kept in, on the same rows: Lance, Parquet, safetensors per bucket.

Each is used plainly, by its own library, without the store's checks: a user id, a bucket and 770 numbers a row. The
system's file cache is warm. Parquet: a file per bucket, row groups of 256 rows, page index and statistics, which its
reader uses to skip. safetensors: a file per bucket with the ids in its header, read by slices of the mapped file.
"""

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Protocol

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from hydra_ray.bench.store_users import BUCKETS, READS, REPEATS, SPEC, folder_bytes, made_up, median, timed, user_id
from hydra_ray.core.hashing import bucket_of
from hydra_ray.store.heads.rows import schema, to_table


class Format(Protocol):
    """What is compared."""

    def add(self, bucket: int, rows: pa.Table) -> None:
        """Writes one bucket."""

    def finish(self) -> None:
        """After the last bucket."""

    def get(self, users: list[str]) -> int:
        """Reads users' numbers; returns how many it found."""

    def bucket(self, bucket: int) -> int:
        """Reads one bucket; returns how many users it has."""


class Lance:
    """One dataset with a BTREE index on the user and a bitmap index on the bucket."""

    def __init__(self, folder: Path) -> None:
        self._uri = str(folder)

    def add(self, bucket: int, rows: pa.Table) -> None:
        lance.write_dataset(rows, self._uri, mode="append" if Path(self._uri, "_versions").exists() else "create")

    def finish(self) -> None:
        dataset = lance.dataset(self._uri)
        dataset.create_scalar_index("user_id", "BTREE")
        dataset.create_scalar_index("bucket", "BITMAP")
        self._dataset = lance.dataset(self._uri)

    def get(self, users: list[str]) -> int:
        return int(self._dataset.to_table(filter=pc.field("user_id").isin(pa.array(users))).num_rows)

    def bucket(self, bucket: int) -> int:
        return int(self._dataset.to_table(filter=pc.field("bucket") == bucket).num_rows)


class Parquet:
    """A file per bucket."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, bucket: int, rows: pa.Table) -> None:
        rows = rows.sort_by("user_id")
        pq.write_table(rows, self._path(bucket), row_group_size=256, use_dictionary=False, write_page_index=True,
                       compression="none")  # fmt: skip

    def finish(self) -> None:
        pass

    def get(self, users: list[str]) -> int:
        by_bucket = _by_bucket(users)
        return sum(
            int(pads.dataset(self._path(b)).to_table(filter=pc.field("user_id").isin(pa.array(some))).num_rows)
            for b, some in by_bucket.items()
        )

    def bucket(self, bucket: int) -> int:
        return int(pq.read_table(self._path(bucket)).num_rows)

    def _path(self, bucket: int) -> str:
        return str(self._folder / f"{bucket:03d}.parquet")


class Safetensors:
    """A file per bucket."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, bucket: int, rows: pa.Table) -> None:
        values = rows["values"].combine_chunks().flatten().to_numpy().reshape(-1, SPEC.size)
        save_file({"values": values}, self._path(bucket), {"users": json.dumps(rows["user_id"].to_pylist())})

    def finish(self) -> None:
        pass

    def get(self, users: list[str]) -> int:
        found: list[NDArray[np.float32]] = []
        for bucket, some in _by_bucket(users).items():
            with safe_open(self._path(bucket), "np") as file:
                row_of = {user: i for i, user in enumerate(json.loads(file.metadata()["users"]))}
                values = file.get_slice("values")
                found += [values[row_of[user] : row_of[user] + 1] for user in some]
        return len(np.concatenate(found))

    def bucket(self, bucket: int) -> int:
        return len(load_file(self._path(bucket))["values"])

    def _path(self, bucket: int) -> str:
        return str(self._folder / f"{bucket:03d}.safetensors")


FORMATS: dict[str, type[Lance] | type[Parquet] | type[Safetensors]] = {
    "lance": Lance,
    "parquet": Parquet,
    "safetensors": Safetensors,
}


def compare(users: int) -> dict[str, dict[str, float]]:
    """Per format: seconds to write, ms to read READS random users, ms to read one bucket, bytes a user."""
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="hydra_ray_bench_") as folder:
        made: dict[str, Format] = {}
        for name, kind in FORMATS.items():
            (Path(folder) / name).mkdir()
            made[name] = kind(Path(folder) / name)
            seconds, _ = timed(partial(_write, made[name], users))
            figures[name] = {"write_s": round(seconds, 2)}
        reads: dict[str, list[float]] = {name: [] for name in made}
        buckets: dict[str, list[float]] = {name: [] for name in made}
        rng = np.random.default_rng(1)
        for repeat in range(REPEATS):
            wanted = [user_id(int(i)) for i in rng.choice(users, READS, replace=False)]
            for name, one in made.items():
                seconds, found = timed(partial(one.get, wanted))
                if found != len(wanted):
                    raise RuntimeError(f"{name} found {found} of {len(wanted)} users")
                reads[name].append(seconds)
                buckets[name].append(timed(partial(one.bucket, repeat))[0])
        for name in made:
            figures[name]["point_reads_ms"] = round(1e3 * median(reads[name]), 1)
            figures[name]["bucket_ms"] = round(1e3 * median(buckets[name]), 1)
            figures[name]["bytes_per_user"] = round(folder_bytes(Path(folder) / name) / users, 1)
    return figures


def _write(one: Format, users: int) -> None:
    for bucket, ids, arrays in made_up(users):
        one.add(bucket, to_table(SPEC, ids, arrays).replace_schema_metadata(schema(SPEC).metadata))
    one.finish()


def _by_bucket(users: list[str]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for user in users:
        found.setdefault(bucket_of(user, BUCKETS), []).append(user)
    return found
