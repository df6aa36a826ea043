"""What a killed stage leaves is either whole or gone."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hydra_ray.llm.answer_files import AnswerFiles


def rows(*ids: str) -> pa.Table:
    return pa.table({"row_id": list(ids), "texts": [[[name]] for name in ids]})


def test_committed_rows_are_done_and_there_once(tmp_path: Path) -> None:
    files = AnswerFiles(tmp_path)
    assert files.done_ids() == set()
    files.write(rows("a", "b"))
    files.write(rows("c"))
    files.discard_uncommitted()
    assert files.done_ids() == {"a", "b", "c"}
    assert sorted(pq.read_table(files.output)["row_id"].to_pylist()) == ["a", "b", "c"]
    assert files.missing_rows(dict.fromkeys("abcd", 1)) == 1
    files.write(rows("a"))
    with pytest.raises(RuntimeError, match="holds rows twice"):
        files.missing_rows(dict.fromkeys("abcd", 1))


@pytest.mark.parametrize("written", ["driver-1.parquet", "8f_000001-0.parquet"])
def test_what_was_not_committed_is_discarded(tmp_path: Path, written: str) -> None:
    """The process died while it wrote, here or in a worker of Ray Data's, whose files have longer names."""
    files = AnswerFiles(tmp_path)
    files.write(rows("a"))
    (tmp_path / "output" / written).write_bytes(b"PAR1 and no more")
    name = written.split("_")[0].removesuffix(".parquet")
    pq.write_table(rows("b").select(["row_id"]), tmp_path / "done" / f"{name}.pending.parquet")
    assert files.done_ids() == {"a"}
    files.discard_uncommitted()
    assert pq.read_table(files.output)["row_id"].to_pylist() == ["a"]
    assert len(list((tmp_path / "done").iterdir())) == 1
