"""Tallies travel from workers to the driver as Arrow rows."""

import pyarrow as pa

from hydra_ray.data.ingest_counts import TALLY_TYPE, IngestCounts, tallies_from_table, tally_to_table


def test_tallies_come_back_row_by_row() -> None:
    tallies = [IngestCounts({"bytes": 1 << 40, "users/train": 2}), IngestCounts(), IngestCounts({"bytes": 3})]
    tables = [tally_to_table(tally) for tally in tallies]
    assert {(table.num_rows, table.schema.field("tally").type) for table in tables} == {(1, TALLY_TYPE)}
    found = tallies_from_table(pa.concat_tables(tables))
    assert found == tallies
    assert {type(tally) for tally in found} == {IngestCounts}
