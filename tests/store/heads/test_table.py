"""A table under readers and writers."""

from pathlib import Path

import pytest

from hydra_ray.store.heads.head_store import HeadStore
from hydra_ray.store.heads.table import Table
from tests.store.heads.generations import generation
from tests.store.made_up import SPEC, USERS, constant


def test_a_reader_moves_on_where_a_vacuum_takes_away_what_it_is_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = str(tmp_path / "heads")
    other = HeadStore.create(uri, SPEC)
    other.put(USERS, constant(40, 1.0))
    reader, at, later = HeadStore.open(uri), Table.at, [2.0, 3.0]

    def at_late(table: Table, version: int) -> Table:
        if table is reader._table and later:
            # What was found to be the latest is gone before it is opened.
            other.put(USERS, constant(40, later.pop(0)))
            other.vacuum()
        return at(table, version)

    monkeypatch.setattr(Table, "at", at_late)
    other.put(USERS, constant(40, 1.5))
    reader.refresh()
    assert later == []
    assert generation(reader) == 3.0
