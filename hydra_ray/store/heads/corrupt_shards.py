"""Which shards of a store are broken: file, buckets, what is wrong. Reads what it judges, so it takes a while."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hydra_ray.store.heads.integrity import BrokenFile
from hydra_ray.store.heads.lance_io import LanceError
from hydra_ray.store.heads.rows import faulty
from hydra_ray.store.heads.spec import HeadSpec
from hydra_ray.store.heads.table import Table


@dataclass(frozen=True)
class CorruptShard:
    """A broken shard. file: path below the store; buckets: whose rows it holds (empty: not known, or any)."""

    file: str
    buckets: tuple[int, ...]
    what: str

    def __str__(self) -> str:
        names = ", ".join(map(str, self.buckets)) or "unknown"
        return f"bucket{'s' if len(self.buckets) > 1 else ''} {names}: {self.file}: {self.what}"


def faults_of_fragments(table: Table, spec: HeadSpec, fragments: Iterable[int]) -> list[CorruptShard]:
    """Reads every row of the fragments and compares checksum and bucket."""
    files = table.data_files()
    found: list[CorruptShard] = []
    buckets: dict[int, tuple[int, ...]] | None = None
    for fragment in fragments:
        wrong: Counter[tuple[int, str]] = Counter()
        try:
            for batch in table.rows_of_fragment(fragment):
                wrong.update((batch["bucket"][row].as_py(), what) for row, what in faulty(spec, batch))
        except LanceError as error:
            buckets = buckets_of_fragments(table, spec) if buckets is None else buckets
            found.append(CorruptShard(files[fragment], buckets.get(fragment, ()), str(error)))
        rows = [CorruptShard(files[fragment], (b,), f"{what} (rows: {n})") for (b, what), n in sorted(wrong.items())]
        found += rows
    return found


def buckets_of_fragments(table: Table, spec: HeadSpec) -> dict[int, tuple[int, ...]]:
    """Fragment -> the buckets with rows in it, from the index alone (nothing if the index cannot be read)."""
    found: dict[int, list[int]] = {}
    for bucket in range(spec.buckets):
        try:
            for fragment in fragments_of(table.rows_of_bucket(bucket, columns=())):
                found.setdefault(fragment, []).append(bucket)
        except LanceError:
            continue
    return {fragment: tuple(buckets) for fragment, buckets in found.items()}


def fragments_of(batches: Iterable[pa.RecordBatch]) -> set[int]:
    """The fragments that batches with `_rowaddr` come from."""
    return {int(f) for batch in batches for f in np.unique(batch["_rowaddr"].to_numpy() >> np.uint64(32))}


def faults_of_files(broken: Iterable[BrokenFile]) -> list[CorruptShard]:
    """Files of a version that are not as they were sealed: they concern every bucket."""
    return [CorruptShard(file.path, (), file.what) for file in broken]
