"""Rows on their way between the two passes of an ingest."""

from pathlib import Path

from hydra_ray.core.types import HistoryItem
from hydra_ray.data.rows import SourceQuestion, SourceRow
from hydra_ray.data.spill import SpillWriter, pack, read_partition


def test_spilled_rows_come_back(tmp_path: Path) -> None:
    items = (HistoryItem("1", "t\n ü", "t\n ü", "", ""), HistoryItem("2", "a", "b a", "5", "2020-01-01"))
    rows = [
        SourceRow(
            f"u{n}", "train", 0, n, items, (SourceQuestion("q", "x", None), SourceQuestion("r", "y", "5", "2020-01-01"))
        )
        for n in range(7)
    ]
    with SpillWriter(tmp_path, "w", flush_bytes=600) as spill:
        full = [spill.add(n % 2, pack(row, n)) for n, row in enumerate(rows)]
    assert any(full)
    back = [row for partition in range(2) for row in read_partition(tmp_path, partition)]
    assert sorted((row.unpack() for row in back), key=lambda row: row.position) == rows
    assert sorted(row.bucket for row in back) == list(range(7))
