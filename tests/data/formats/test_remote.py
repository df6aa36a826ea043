"""Files behind a URL, read through fsspec."""

import gzip
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hydra_ray.config import DataConfig
from hydra_ray.data.sources.find import find_sources
from hydra_ray.errors import UserError
from tests.data.files import NOTES, Ingested
from tests.data.own_rows import ROWS, check, lines


def test_remote_files_are_read_through_fsspec(tmp_path: Path) -> None:
    import fsspec

    memory: Any = fsspec.filesystem("memory")
    memory.pipe("/bucket/data/a.jsonl.gz", gzip.compress(lines(ROWS[:3]).encode()))
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS[3:]), sink)
    memory.pipe("/bucket/data/user=1/b.parquet", sink.getvalue())
    for other in ("README.md", "_SUCCESS", "data/.a.jsonl.crc", "_tmp/a.jsonl", "dataset_infos.json"):
        memory.pipe(f"/bucket/{other}", b"no rows")
    check(remote("memory://bucket", tmp_path))
    check_one = remote("memory://bucket/data/a.jsonl.gz", tmp_path / "one")
    assert set(check_one.users) == {"u"}


def remote(root: str, folder: Path) -> Ingested:
    from tests.data.files import ingest_pure

    own = {"questions": 2, "min_items": 3}
    return ingest_pure(root, NOTES, folder / "out", source="tabular", tabular=own)  # type: ignore[arg-type]


def test_what_remote_roots_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(root: str, source: Any = "tabular") -> str:
        with pytest.raises(UserError) as caught:
            find_sources(DataConfig(source=source, root=root), root)
        return str(caught.value)

    from fsspec.registry import known_implementations

    monkeypatch.setitem(known_implementations, "s3", {"class": "no_such_module.S3", "err": "Install"})
    assert find("s3://bucket/x") == "data.root: s3:// needs another package: pip install s3fs"
    assert find("nothing://x").startswith("data.root: nothing://x: Protocol not known: nothing: give a path of this ")
    assert find("memory://none").startswith("memory://none: ")
    assert find("memory://none", "lamp") == (
        "memory://none: data.source=lamp reads folders of this machine: copy the files into one"
    )
