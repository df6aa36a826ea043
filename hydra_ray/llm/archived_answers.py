"""The LLM's answers in an object store: in small files that are only ever added, each with what came since the last.

answers/TIME-ID.parquet     columns `key` (string) and `record` (bytes, as the response cache keeps it)
answers/counts/RUN.json     what a run had used when it last wrote

Any number of runs, on any clusters, may write at the same time: no file is written twice.
"""

import io
import json
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict

import pyarrow as pa
import pyarrow.parquet as pq

from hydra_ray.llm.response_cache import Counts, ResponseCache
from hydra_ray.store.archive.object_store import ObjectStore

FOLDER = "answers"
SAVE_EVERY_S = 10.0
MOST_ANSWERS = 20_000
"""Of one file."""
MANY_FILES = 200
"""So many files are read slowly; they become one."""


class ArchivedAnswers:
    """Of one response cache. For many threads. Its methods raise UserError for what the store refuses."""

    def __init__(self, cache: ResponseCache, store: ObjectStore) -> None:
        self._cache, self._store = cache, store
        self._lock = threading.Lock()

    def restore(self) -> int:
        """Brings the answers that are not here yet into the cache, and what the run has used elsewhere.

        Returns:
            How many answers came.
        """
        with self._lock:
            files, came = self._files(), 0
            while new := sorted(set(files) - self._cache.answer_files()):
                gone = False
                for file in new:
                    content = self._store.read(file)
                    gone |= content is None
                    came += self._cache.merge(_rows(content) if content else [], file)
                files = self._files() if gone else files  # another run has put many files into one
            counts = self._store.read(self._counts_file)
            if counts is not None:
                self._cache.count_at_least(Counts(**json.loads(counts)))
            if len(files) > MANY_FILES:
                self._compact(files)
        return came

    def save(self) -> None:
        """Writes the answers that came since the last time, and what the run has used by now."""
        with self._lock:
            wrote = False
            while rows := self._cache.unsaved(MOST_ANSWERS):
                file = _new_name()
                self._store.write(file, _content(rows))
                self._cache.saved([key for key, _ in rows], file)
                wrote = True
            if wrote:
                self._store.write(self._counts_file, json.dumps(asdict(self._cache.used())).encode())

    def _compact(self, files: Sequence[str]) -> None:
        """One file in place of many."""
        rows: dict[str, bytes] = {}
        for file in files:
            if (content := self._store.read(file)) is not None:
                rows |= dict(_rows(content))
        one = _new_name()
        self._store.write(one, _content(list(rows.items())))
        self._cache.saved([], one)
        self._store.delete(files)

    def _files(self) -> list[str]:
        return sorted(name for name in self._store.sizes(FOLDER) if name.endswith(".parquet"))

    @property
    def _counts_file(self) -> str:
        return f"{FOLDER}/counts/{self._cache.run}.json"


def _new_name() -> str:
    return f"{FOLDER}/{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{uuid.uuid4().hex[:8]}.parquet"


def _content(rows: Sequence[tuple[str, bytes]]) -> bytes:
    table = pa.table({"key": [key for key, _ in rows], "record": pa.array([blob for _, blob in rows], pa.binary())})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _rows(content: bytes) -> list[tuple[str, bytes]]:
    table = pq.read_table(io.BytesIO(content))
    return list(zip(table["key"].to_pylist(), table["record"].to_pylist(), strict=True))
