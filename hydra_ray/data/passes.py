"""The two passes of the ingest as plain functions: files to partitions, a partition to users. No Ray here."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from hydra_ray.core.hashing import bucket_of
from hydra_ray.data.cut import cut_user
from hydra_ray.data.formats.columns import Columns
from hydra_ray.data.holdout import with_questions
from hydra_ray.data.ingest_counts import IngestCounts
from hydra_ray.data.merge import Merged, merge_user
from hydra_ray.data.rejects import Reject, RejectWriter
from hydra_ray.data.sources.find import Source
from hydra_ray.data.sources.source_reader import SourceReader
from hydra_ray.data.spill import SpilledRow, SpillWriter, pack, part_of, read_partition
from hydra_ray.data.users_writer import BucketWriter

GROUP_BYTES = 16 << 20
"""Payload that is grouped by user in memory at once; a partition with more is split on disk first."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What both passes share. Small: it travels to every worker. A bucket is in partition `bucket % partitions`.

    max_history, questions_after: see `data.cut.cut_user`.
    """

    reader: SourceReader
    sources: tuple[Source, ...]
    out: Path
    buckets: int
    partitions: int
    max_history: int | None = None
    questions_after: str | None = None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(source.bytes for source in self.sources)

    @property
    def spill(self) -> Path:
        return self.out / "spill"


def spill_sources(plan: Plan, writer: str, sources: Sequence[Source]) -> Iterator[IngestCounts]:
    """Pass 1: read `sources` and append their rows to the partitions; a tally now and then and at the end.

    Holds one record and a few MiB of rows. Raises UserError for a file that cannot be used.
    """
    tally = IngestCounts()
    with (
        RejectWriter(plan.out / "rejects" / f"read-{writer}.parquet") as rejects,
        SpillWriter(plan.spill, writer) as spill,
    ):
        for source in sources:
            size, seen, done = source.bytes, 0, 0  # what was kept of it stands for what was read
            for row in plan.reader.scan(source):
                if isinstance(row, Reject):
                    rejects.add(row)
                    tally.reject(row.reason)
                    continue
                if isinstance(row, Columns):
                    tally.update(row.counts())
                    continue
                tally["dates"] += sum(1 for item in row.items if item.date)
                bucket = bucket_of(row.user_id, plan.buckets)
                spilled = pack(row, bucket)
                tally[f"partition/{bucket % plan.partitions}"] += len(spilled.payload)
                seen += len(spilled.payload)
                if spill.add(bucket % plan.partitions, spilled):
                    tally["bytes"] += min(seen, size) - done
                    done = min(seen, size)
                    yield tally
                    tally = IngestCounts()
            tally["bytes"] += size - done
    yield tally


def write_partition(plan: Plan, partition: int, size: int) -> IngestCounts:
    """Pass 2: the users of one partition, merged and written by bucket. size: its payload in bytes.

    Holds about GROUP_BYTES of packed rows and one unpacked user, however large the partition.
    """
    tally = IngestCounts()
    parts = -(-size // GROUP_BYTES)
    with ExitStack() as stack:
        rejects = stack.enter_context(RejectWriter(plan.out / "rejects" / f"merge-{partition:05d}.parquet"))
        writers: dict[int, BucketWriter] = {}
        current: BucketWriter | None = None
        for rows in _parts(plan, partition, parts):
            for bucket, packed in _by_user(rows):
                merged = build_user(plan, packed)
                for reject in merged.rejects:
                    rejects.add(reject)
                    tally.reject(reject.reason)
                tally["repeats"] += merged.repeats
                if not merged.user.items and not merged.user.questions:
                    continue
                if bucket not in writers:
                    writers[bucket] = stack.enter_context(BucketWriter(plan.out, bucket))
                if current is not None and current is not writers[bucket]:
                    current.flush()  # one bucket's rows are held at a time, however many are open
                current = writers[bucket]
                current.add(merged.user)
                tally.user(merged.user, merged.why_no_questions)
    return tally


def build_user(plan: Plan, packed: Sequence[SpilledRow]) -> Merged:
    """One user of all its rows; for own rows, with questions made of the newest items."""
    merged = merge_user([row.unpack() for row in packed], [source.name for source in plan.sources])
    if plan.sources[0].kind == "tabular":
        held_out = with_questions(merged.user, plan.reader.tabular)
        merged.user, merged.why_no_questions = held_out.user, held_out.why_none
        merged.rejects += held_out.rejects
    least = plan.reader.tabular.min_items if plan.sources[0].kind == "tabular" else 0
    cut = cut_user(merged.user, plan.max_history, plan.questions_after, least)
    merged.user, merged.why_no_questions = cut.user, merged.why_no_questions or cut.no_questions
    merged.rejects += cut.rejects
    return merged


def _by_user(rows: Iterable[SpilledRow]) -> Iterator[tuple[int, list[SpilledRow]]]:
    """Bucket and rows of each user, by bucket and id; frees a user's rows as it goes."""
    users: dict[tuple[int, str], list[SpilledRow]] = {}
    for row in rows:
        users.setdefault((row.bucket, row.user_id), []).append(row)
    for key in sorted(users):
        yield key[0], users.pop(key)


def _parts(plan: Plan, partition: int, parts: int) -> Iterator[Iterable[SpilledRow]]:
    """The partition's rows in `parts` portions, every user wholly in one; more than one are split on disk first."""
    if parts <= 1:
        yield read_partition(plan.spill, partition)
        return
    folder = plan.spill / f"split-{partition:05d}"
    shutil.rmtree(folder, ignore_errors=True)
    with SpillWriter(folder, "rows") as split:
        for row in read_partition(plan.spill, partition):
            split.add(part_of(row.user_id, parts), row)
    for part in range(parts):
        yield read_partition(folder, part)
    shutil.rmtree(folder)
