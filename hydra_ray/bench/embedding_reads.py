"""Reading kept embeddings: one scan against one lookup a text, and a join of texts to ten times as many rows.

    python -m hydra_ray.bench.embedding_reads FOLDER TEXTS ROWS

is the measured child of the join: writes `ready`, waits for a line, joins and prints its seconds.
"""

import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from hydra_ray.bench.memory import MIB, run_measured
from hydra_ray.store.embeddings.embedding_store import EmbeddingStore
from hydra_ray.store.embeddings.keys import shards_of, text_keys
from hydra_ray.store.embeddings.spec import EmbeddingSpec

WIDTH = 384
"""MiniLM's."""
SCANNED = 100_000
"""Texts that are read in one scan, at most."""
ONE_BY_ONE = 500
"""Of them, texts that are looked up one by one; the others would take as long each."""
ROWS_A_TEXT = 10
BATCH_ROWS = 200_000
"""Rows joined at a time, at most."""
SPEC = EmbeddingSpec("bench", "mean", 128, "fp32")
CODES = 2048
"""The first number of a text's embedding is its number modulo this, which fp16 holds exactly: lookups are checked."""


def measure(texts: int, folder: Path | None = None) -> dict[str, Any]:
    """The figures.

    Args:
        texts: In the store of the join; in the store that is scanned, as many but SCANNED at most.
        folder: Takes the stores; None: one that is removed at the end.

    Returns:
        `ratio`: the time of one lookup a text over that of one scan, `scan_s` and `text_by_text_s` of `scanned` texts;
        `join`: for a tenth of the rows and for all of them `rows`, `seconds` and `peak_mib` (the process without mapped
        files), and `memory_ratio` of the two.

    Raises:
        RuntimeError: A lookup gave another text's embedding.
    """
    with tempfile.TemporaryDirectory(prefix="hydra_ray_bench_", dir=folder) as name:
        scanned = min(texts, SCANNED)
        store = write_store(Path(name) / "scanned", scanned)
        scan_s, by_text_s = _scan(store, scanned)
        joined = Path(name) / "scanned" if texts == scanned else Path(name) / "joined"
        if texts != scanned:
            write_store(joined, texts)
        joins = [_join(joined, texts, rows) for rows in (texts * ROWS_A_TEXT // 10, texts * ROWS_A_TEXT)]
    return {
        "ratio": round(by_text_s / scan_s, 1),
        "scanned": scanned,
        "scan_s": round(scan_s, 3),
        "text_by_text_s": round(by_text_s, 1),
        "join": {
            "texts": texts,
            "runs": joins,
            "memory_ratio": round(joins[1]["peak_mib"] / joins[0]["peak_mib"], 3),
        },
    }


def text(number: int) -> str:
    """A made-up text of a sentence's length."""
    return f"text {number} of a store of embeddings, about as long as one sentence is"


def write_store(root: Path, texts: int) -> EmbeddingStore:
    """A store of so many texts, written shard by shard as the encode step writes it."""
    store = EmbeddingStore(root, SPEC)
    keys = text_keys(text(i) for i in range(texts))
    shards = shards_of(keys)
    draw = np.random.default_rng(0)
    for shard in np.unique(shards).tolist():
        places = np.flatnonzero(shards == shard)
        embeddings = draw.standard_normal((len(places), WIDTH), dtype=np.float32)
        embeddings[:, 0] = places % CODES
        store.append(keys[places], embeddings)
    return store


def check(found: np.ndarray, numbers: np.ndarray) -> None:
    """Raises RuntimeError unless the embeddings are those of the texts with these numbers."""
    if not np.array_equal(found[:, 0], numbers % CODES):
        raise RuntimeError("a lookup gave another text's embedding")


def _scan(store: EmbeddingStore, texts: int) -> tuple[float, float]:
    """Seconds of one scan of all texts, and of as many lookups, from ONE_BY_ONE of them."""
    numbers = np.random.default_rng(1).permutation(texts)
    names = [text(i) for i in numbers.tolist()]
    some = random.Random(0).sample(range(texts), min(ONE_BY_ONE, texts))
    store.lookup(names[:1])  # footers are read
    began = time.perf_counter()
    found = store.lookup(names)
    scanned = time.perf_counter()
    check(found, numbers)
    del found
    again = time.perf_counter()
    for place in some:
        check(store.lookup([names[place]]), numbers[place : place + 1])
    return scanned - began, (time.perf_counter() - again) / len(some) * texts


def _join(folder: Path, texts: int, rows: int) -> dict[str, Any]:
    command = [sys.executable, "-m", __name__, str(folder), str(texts), str(rows)]
    reply, memory, _ = run_measured(command, f"the join of {rows} rows")
    return {"rows": rows, "seconds": round(float(reply), 2), "peak_mib": round(memory.peak / MIB, 1)}


def main(folder: Path, texts: int, rows: int) -> None:
    """The measured child: rows come in batches, each of texts drawn anew, as users' rows do."""
    store = EmbeddingStore(folder, SPEC)
    print("ready", flush=True)
    sys.stdin.readline()
    draw = np.random.default_rng(2)
    began = time.perf_counter()
    batch = min(BATCH_ROWS, texts)
    for start in range(0, rows, batch):
        numbers = draw.integers(0, texts, min(batch, rows - start))
        check(store.lookup([text(i) for i in numbers.tolist()]), numbers)
    print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
