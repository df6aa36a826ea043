"""The files of a stage that asks an LLM: rows with requests in, and in the stage's own folder what is answered.

    done/     ids of the rows whose answers are written
    output/   the answers

They are committed file by file, as Ray Data's checkpoints are: `done/NAME.pending.parquet` is there before
`output/NAME….parquet` is written, and becomes `done/NAME.parquet` afterwards. Local paths and URIs. Knows no Ray.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

ID_COLUMN = "row_id"
COUNT_COLUMN = "n_requests"
_PENDING = ".pending.parquet"


def absolute(path: str) -> str:
    """The path as other processes understand it."""
    return path if "://" in path else str(Path(path).resolve())


def tables(path: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Some columns of the committed Parquet files in a folder, file by file; none if there is no such folder."""
    for system, file in _files(path):
        if file.endswith(".parquet") and not file.endswith(_PENDING):
            yield pq.read_table(file, columns=list(columns), filesystem=system)


def _files(path: str) -> list[tuple[fs.FileSystem, str]]:
    system, inner = fs.FileSystem.from_uri(absolute(path))
    return [(system, info.path) for info in
            system.get_file_info(fs.FileSelector(inner, recursive=True, allow_not_found=True))]  # fmt: skip


def expected_calls(path: str) -> dict[str, int]:
    """The ids of a folder's rows that have requests, with how many. Raises ValueError if an id comes twice."""
    expected: dict[str, int] = {}
    rows = 0
    for table in tables(path, [ID_COLUMN, COUNT_COLUMN]):
        asking = table.filter(pc.field(COUNT_COLUMN) > 0)
        rows += asking.num_rows
        expected |= zip(asking[ID_COLUMN].to_pylist(), asking[COUNT_COLUMN].to_pylist(), strict=True)
    if len(expected) != rows:
        raise ValueError(f"column {ID_COLUMN!r} of an LLM stage must be unique: {rows} rows, {len(expected)} ids")
    return expected


class AnswerFiles:
    """The folder of one stage.

    Attributes:
        done, output: Its two folders.
    """

    def __init__(self, root: str | Path) -> None:
        self._root = str(root)
        self.done, self.output = f"{root}/done", f"{root}/output"

    def done_ids(self) -> set[str]:
        """The rows whose answers are written."""
        return set(_ids(self.done))

    def missing_rows(self, expected: Mapping[str, int]) -> int:
        """How many of the rows that were asked for are not written. Raises RuntimeError for rows that should not be."""
        written = _ids(self.output)
        if len(written) != len(set(written)) or not set(written) <= set(expected):
            raise RuntimeError(
                f"{self.output} holds rows twice or of other requests: delete {self._root} and run again"
            )
        return len(expected) - len(written)

    def write(self, answered: pa.Table) -> None:
        """Commits answered rows."""
        name = f"driver-{uuid4().hex}"
        system, done = fs.FileSystem.from_uri(absolute(self.done))
        _, output = fs.FileSystem.from_uri(absolute(self.output))
        for folder in (done, output):
            system.create_dir(folder)
        pq.write_table(answered.select([ID_COLUMN]), f"{done}/{name}{_PENDING}", filesystem=system)
        pq.write_table(answered, f"{output}/{name}.parquet", filesystem=system)
        system.move(f"{done}/{name}{_PENDING}", f"{done}/{name}.parquet")

    def discard_uncommitted(self) -> None:
        """Deletes what a killed process, this one's or a worker of Ray Data's, had not committed."""
        pending = [(system, file) for system, file in _files(self.done) if file.endswith(_PENDING)]
        names = tuple(file.rsplit("/", 1)[-1].removesuffix(_PENDING) for _, file in pending)
        torn = [(system, file) for system, file in _files(self.output) if file.rsplit("/", 1)[-1].startswith(names)]
        for system, file in (*torn, *pending):
            system.delete_file(file)


def _ids(path: str) -> list[str]:
    return [row_id for table in tables(path, [ID_COLUMN]) for row_id in table[ID_COLUMN].to_pylist()]
