"""Ingest with Ray Data: source files to users by bucket. A thin shell around `data.passes`.

Two pipelines, because no user is complete before every file is read: one task a file (or a few files) streams rows
into hash partitions on disk, then one task a partition makes users of them. Rows never enter the object store; what
travels is plans and tallies. `out` and the source must be reachable from every node.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hydra_ray.config import Config
from hydra_ray.core.tasks import Task
from hydra_ray.data.checks import check_counts, check_read
from hydra_ray.data.ingest_counts import IngestCounts, counts_of, tallies_from_table, tally_to_table
from hydra_ray.data.passes import Plan, spill_sources, write_partition
from hydra_ray.data.sources.find import Source, find_sources
from hydra_ray.data.sources.golds import lamp_id_of
from hydra_ray.data.sources.source_reader import SourceReader
from hydra_ray.errors import UserError
from hydra_ray.utils.ray_errors import unwrap_user_errors

W = TypeVar("W")
"""A piece of work of a pass."""

Progress = Callable[[int, int], None]
"""Called with (done, total) in bytes of work: reading a byte of the source and writing it out are one each."""

PARTITION_BYTES = 8 << 20
MAX_PARTITIONS = 64
MAX_READERS = 16
"""Bound the open files: a reader keeps one per partition."""


def ingest(
    config: Config, task: Task, source_dir: Path | str, out: Path, progress: Progress | None = None
) -> dict[str, Any]:
    """Read the files at `source_dir` as `config.data` says; returns the content of `counts.json`.

    Writes under `out`, a folder of the caller's: `users/bucket=00012/part-0.parquet` (one row a user, see
    `data.users`), `rejects/*.parquet` (source, record, reason, detail) and, last, `counts.json`. The result depends on
    the files and the config alone, not on the number of workers. Needs a running Ray (or starts a local one).
    Raises UserError: a missing, broken or wrong file, files of which nothing could be used, too many unread dates. What
    the counts say is the caller's to judge (`data.checks.check_counts`).
    """
    plan = make_plan(config, task, source_dir, out)
    sources, size = list(plan.sources), plan.size
    tally = IngestCounts()
    try:
        for part in _pass(plan, _groups(sources), _read):
            tally.update(part)
            _report(progress, tally["bytes"], size)
        check_read(tally, config.data, task, source_dir, plan.sources, plan.out)
        sizes = {p: n for p in range(plan.partitions) if (n := tally[f"partition/{p}"])}
        if not sizes:
            raise UserError(nothing_usable(source_dir, tally))
        written = 0
        for part in _pass(plan, [_Partition(p, n) for p, n in sizes.items()], _write):
            tally.update(part)
            written += part["written"]
            _report(progress, size + size * written // sum(sizes.values()), size)
        if not tally["users/train"] + tally["users/test"]:
            raise UserError(nothing_usable(source_dir, tally))
        counts = {**counts_of(tally, plan.buckets), "lamp_id": lamp_id_of(plan.sources)}
    finally:
        shutil.rmtree(plan.spill, ignore_errors=True)
    (plan.out / "counts.json").write_text(json.dumps(counts, indent=2) + "\n")
    return counts


def make_plan(config: Config, task: Task, source_dir: Path | str, out: Path) -> Plan:
    """What to read and where to write; `out` is emptied of what an earlier ingest left unfinished there."""
    root = source_dir if isinstance(source_dir, str) else source_dir.resolve()
    sources = find_sources(config.data, root, Path(config.root).expanduser())
    size = sum(source.bytes for source in sources)
    partitions = max(1, min(config.data.buckets, MAX_PARTITIONS, -(-size // PARTITION_BYTES)))
    data = config.data
    plan = Plan(
        SourceReader(task, data.tabular),
        tuple(sources),
        out.resolve(),
        data.buckets,
        partitions,
        data.max_history,
        data.questions_after,
    )
    for folder in (plan.spill, plan.out / "users", plan.out / "rejects"):
        shutil.rmtree(folder, ignore_errors=True)
    (plan.out / "counts.json").unlink(missing_ok=True)
    (plan.out / "users").mkdir(parents=True)
    (plan.out / "rejects").mkdir()
    return plan


def ingest_in_process(config: Config, task: Task, source_dir: Path | str, out: Path) -> dict[str, Any]:
    """As `ingest`, in this process and without Ray, one file after the other: for small data and for a look at it.

    Raises UserError as `ingest` and `check_counts` do.
    """
    plan = make_plan(config, task, source_dir, out)
    tally = IngestCounts()
    try:
        for part in spill_sources(plan, "all", plan.sources):
            tally.update(part)
        check_read(tally, config.data, task, source_dir, plan.sources, plan.out)
        for partition in range(plan.partitions):
            tally.update(write_partition(plan, partition, tally[f"partition/{partition}"]))
        if not tally["users/train"] + tally["users/test"]:
            raise UserError(nothing_usable(source_dir, tally))
        counts = {**counts_of(tally, plan.buckets), "lamp_id": lamp_id_of(plan.sources)}
        check_counts(counts, config.data, source_dir, plan.out)
    finally:
        shutil.rmtree(plan.spill, ignore_errors=True)
    (plan.out / "counts.json").write_text(json.dumps(counts, indent=2) + "\n")
    return counts


def _groups(sources: list[Source]) -> list[list[Source]]:
    """The files, dealt to at most MAX_READERS readers, large ones first so that they end together."""
    groups: list[list[Source]] = [[] for _ in range(min(MAX_READERS, len(sources)))]
    for source in sorted(sources, key=lambda source: -source.bytes):
        min(groups, key=lambda group: sum(s.bytes for s in group)).append(source)
    return [group for group in groups if group]


def _report(progress: Progress | None, done: int, size: int) -> None:
    if progress is not None:
        progress(min(done, 2 * size), 2 * size)


def nothing_usable(source_dir: Path | str, tally: IngestCounts) -> str:
    """The one line for a data set that gives no user."""
    reasons = sorted(((n, key) for key, n in tally.items() if key.startswith("rejects/")), reverse=True)
    shown = ", ".join(f"{n} x {key.removeprefix('rejects/')}" for n, key in reasons[:3])
    return f"{source_dir}: nothing in its files can be used ({shown or 'they are empty'}): check data.task"


@dataclass(frozen=True, slots=True)
class _Partition:
    """A partition to be written. size: bytes that were spilled into it."""

    number: int
    size: int


def _read(plan: Plan, files: list[Source]) -> Iterator[IngestCounts]:
    return spill_sources(plan, f"{files[0].index:05d}", files)


def _write(plan: Plan, partition: _Partition) -> Iterator[IngestCounts]:
    tally = write_partition(plan, partition.number, partition.size)
    tally["written"] = partition.size
    yield tally


def _pass(plan: Plan, works: Sequence[W], run: Callable[[Plan, W], Iterator[IngestCounts]]) -> Iterator[IngestCounts]:
    """One Ray Data pipeline: `run` on every piece of work, one task each; yields their tallies as they come. Raises
    UserError as `run` does."""
    import ray.data

    def work_on(batch: Any) -> Iterator[Any]:
        for number in batch.column("work").to_pylist():
            for tally in run(plan, works[number]):
                yield tally_to_table(tally)

    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = 1  # every tally is a block of its own, so that progress shows at once
    with ray.data.DataContext.current(context), unwrap_user_errors():
        rows = ray.data.from_items([{"work": i} for i in range(len(works))], override_num_blocks=len(works))
        done = rows.map_batches(work_on, batch_size=1, batch_format="pyarrow")
        for batch in done.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield from tallies_from_table(batch)
