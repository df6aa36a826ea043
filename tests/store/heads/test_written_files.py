from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pytest

from hydra_ray.errors import UserError
from hydra_ray.store.heads.lance_io import Files
from hydra_ray.store.heads.written_files import check_deletion_file, check_size, roaring_size


@pytest.mark.parametrize("deleted", [[0], range(0, 900, 3), range(0, 80_000, 2), range(70_000), [*range(5000), 70_000]])
def test_deletion_files(tmp_path: Path, deleted: list[int]) -> None:
    """Arrow below some thousand rows, a roaring bitmap above: each is known whole, and known cut."""
    uri = str(tmp_path / "rows")
    dataset = lance.write_dataset(pa.table({"a": np.arange(100_000)}), uri)
    path = dataset.get_fragment(0).delete_rows(list(deleted)).deletion_file.path(0)
    check_deletion_file(Files(uri, None), path)
    raw = (tmp_path / "rows" / path).read_bytes()
    if path.endswith(".bin"):
        assert roaring_size(raw) == len(raw)
    for kept in (0, 5, len(raw) // 2, len(raw) - 1):
        (tmp_path / "rows" / path).write_bytes(raw[:kept])
        with pytest.raises(UserError, match=r"the disk is full \(_deletions/.* was cut short"):
            check_deletion_file(Files(uri, None), path)


def test_size(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10)
    for size in (0, 1, 10):
        check_size(Files(str(tmp_path), None), "file", size)
    with pytest.raises(UserError, match=r"the disk is full \(file was cut short"):
        check_size(Files(str(tmp_path), None), "file", 11)
