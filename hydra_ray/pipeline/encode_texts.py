"""Encodes the distinct texts of a step into the store of embeddings.

Few texts are encoded in this process. Many go through Ray Data: tasks write each bucket's distinct texts by shard; then
the texts of a shard that the store lacks are tokenised on CPU workers and encoded on a pool of workers that grows with
the work, fragment by fragment. A killed step finds the finished fragments in the store and encodes the rest.
"""

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from hydra_ray.config import ModelConfig, ResourcesConfig
from hydra_ray.config.resources import EncodeResources, ray_options, worker_range
from hydra_ray.models.encoder_source import spec_of
from hydra_ray.pipeline.encode_sources import TextSource
from hydra_ray.pipeline.ranking_examples import chunks
from hydra_ray.store.embeddings.embedding_store import EmbeddingStore
from hydra_ray.store.embeddings.keys import KEY_BYTES, SHARDS, as_keys, shards_of, text_keys
from hydra_ray.utils.cpu import one_thread
from hydra_ray.utils.ray_data import actor_pool, alive_nodes
from hydra_ray.utils.ray_errors import unwrap_user_errors

if TYPE_CHECKING:
    from hydra_ray.models.encoder import TextEncoder
    from hydra_ray.models.token_table import TokenTable

FEW = 10_000
"""Distinct texts that are encoded in the run's own process (`ResourcesConfig.few_in_driver`)."""
TEXTS_IN_MEMORY = 500_000
"""Distinct texts that a task holds before it writes them down."""
FRAGMENT = 16_384
"""Texts of a fragment: 13 MB at 384 numbers, and what a killed worker has to encode again."""
EVERY_S = 10.0
"""Between two lines of progress."""
_TOKENS = "token_"
_TEXTS = pa.schema([("key", pa.binary(KEY_BYTES)), ("text", pa.large_binary())])


def encode_source(
    source: TextSource,
    root: Path,
    scratch: Path,
    resources: ResourcesConfig,
    log: Callable[[str], None],
    start_ray: Callable[[], None],
) -> dict[str, int]:
    """Encodes whatever the store lacks of a source's texts.

    Args:
        source: Which texts.
        root: Folder of all stores.
        scratch: Takes what an unfinished step needs; all workers see it.
        resources: `encode` says where texts are encoded: on the cluster's workers, or few on a CPU in this process.
        log: Takes lines of progress.
        start_ray: Makes sure that Ray runs; called only where there are many texts.

    Returns:
        `texts`, the distinct ones, and `encoded`, those of them that the store lacked.

    Raises:
        UserError: An embedding is not finite, the disk is full, or a fragment cannot be used. What is encoded stays.
    """
    store = EmbeddingStore(root, spec_of(source.model))
    store.sweep()
    few = distinct_texts(source.texts(source.buckets()), FEW) if resources.in_driver(resources.encode) else None
    if few is None:
        start_ray()
        return _encode_many(source, root, scratch, resources.encode, log)
    missing = store.missing(few)
    if missing:
        log(f"{len(few)} texts, {len(missing)} to encode")
        _encode_few(source.model, root, missing)
    return {"texts": len(few), "encoded": len(missing)}


def distinct_texts(texts: Iterable[str], most: int) -> list[str] | None:
    """The distinct texts, in the order given; None if there are more than `most`, of which no more are read then."""
    found: dict[str, None] = {}
    for text in texts:
        found[text] = None
        if len(found) > most:
            return None
    return list(found)


def _encode_few(model: ModelConfig, root: Path, missing: list[str]) -> None:
    """In this process."""
    from hydra_ray.models.text_embeddings import text_embeddings

    with one_thread():
        text_embeddings(model, root)(missing)


def _encode_many(
    source: TextSource, root: Path, scratch: Path, workers: EncodeResources, log: Callable[[str], None]
) -> dict[str, int]:
    import ray

    least, most = worker_range(workers, alive_nodes)
    folder, done = scratch / "texts", scratch / "texts.done"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        parts = chunks(source.buckets(), 4 * most)
        items = [{"number": number, "buckets": part} for number, part in enumerate(parts)]
        with unwrap_user_errors():
            ray.data.from_items(items).map_batches(WriteDistinct(source, folder), batch_size=1).materialize()
        done.touch()
    blocks = min(SHARDS, 4 * most)
    encoded, began = 0, time.monotonic()
    logged = began
    with unwrap_user_errors():
        rows = (
            ray.data.from_items([{"shard": shard} for shard in range(SHARDS)], override_num_blocks=blocks)
            .map_batches(
                TokenizeShard,
                fn_constructor_args=(source.model, root, folder),
                batch_size=1,
                num_cpus=1,
                compute=actor_pool((1, most)),
            )
            .map_batches(
                EncodeTokens,
                fn_constructor_args=(source.model, root, workers.num_gpus, workers.compile),
                batch_format="pyarrow",
                batch_size=None,
                compute=actor_pool((least, most)),
                **ray_options(workers),
            )
        )
        for row in rows.iter_rows():
            encoded += int(row["texts"])
            now = time.monotonic()
            if now - logged >= EVERY_S:
                logged = now
                log(f"{encoded} texts encoded, {encoded / (now - began):.0f} a second")
    texts = sum(int(file.read_text()) for file in folder.glob("*.count"))
    log(f"{texts} texts, {encoded} of them encoded")
    return {"texts": texts, "encoded": encoded}


@dataclass(frozen=True)
class WriteDistinct:
    """Ray Data's function: writes the distinct texts of lists of buckets as SHARD-NUMBER-PART.parquet.

    Attributes:
        source: Which texts.
        folder: Takes the files.
    """

    source: TextSource
    folder: Path

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """batch: `number` and `buckets`, lists of bucket numbers. Returns the numbers."""
        for number, buckets in zip(batch["number"], batch["buckets"], strict=True):
            found: dict[str, None] = {}
            part = 0
            for text in self.source.texts([int(bucket) for bucket in buckets]):
                found[text] = None
                if len(found) >= TEXTS_IN_MEMORY:
                    self._write(list(found), f"{int(number):06d}-{part:04d}")
                    found, part = {}, part + 1
            self._write(list(found), f"{int(number):06d}-{part:04d}")
        return {"number": batch["number"]}

    def _write(self, texts: list[str], name: str) -> None:
        keys = text_keys(texts)
        shards = shards_of(keys)
        for shard in sorted(set(shards.tolist())):
            places = (shards == shard).nonzero()[0]
            columns = [
                pa.FixedSizeBinaryArray.from_buffers(
                    pa.binary(KEY_BYTES), len(places), [None, pa.py_buffer(keys[places].tobytes())]
                ),
                # Bytes, for a text may hold surrogates.
                pa.array([texts[i].encode(errors="surrogatepass") for i in places.tolist()], pa.large_binary()),
            ]
            pq.write_table(pa.table(columns, schema=_TEXTS), self.folder / f"{shard:02x}-{name}.parquet")


class TokenizeShard:
    """Ray Data's callable: the tokens of a shard's texts that the store lacks, FRAGMENT texts at a time."""

    def __init__(self, model: ModelConfig, root: Path, folder: Path) -> None:
        """folder: what `WriteDistinct` wrote."""
        self._model, self._folder = model, folder
        self._store = EmbeddingStore(root, spec_of(model))

    @cached_property
    def _tokenizer(self) -> Any:
        """Made at the first text: a UserError of a constructor would not reach the driver."""
        from hydra_ray.models.encoder import load_tokenizer

        return load_tokenizer(self._model)

    def __call__(self, batch: dict[str, Any]) -> Iterator[pa.Table]:
        """batch: `shard`. Yields `key` and a column for each of the model's inputs."""
        from hydra_ray.models.encoder import tokenize

        for shard in batch["shard"]:
            missing = self.missing(int(shard))
            for start in range(0, len(missing), FRAGMENT):
                part = missing[start : start + FRAGMENT]
                table = tokenize(self._tokenizer, self._model.max_tokens, [text for _, text in part])
                columns = {"key": pa.array([key for key, _ in part], pa.binary(KEY_BYTES))}
                starts = pa.array(table.starts, pa.int32())
                for name, values in table.columns.items():
                    columns[_TOKENS + name] = pa.ListArray.from_arrays(starts, pa.array(values))
                yield pa.table(columns)

    def missing(self, shard: int) -> list[tuple[bytes, str]]:
        """Keys and texts of a shard without an embedding, by key; writes down how many texts the shard has."""
        files = sorted(self._folder.glob(f"{shard:02x}-*.parquet"))
        found: dict[bytes, bytes] = {}
        for file in files:
            with pq.ParquetFile(file) as stored:
                table = stored.read()
            found |= zip(table["key"].to_pylist(), table["text"].to_pylist(), strict=True)
        (self._folder / f"{shard:02x}.count").write_text(str(len(found)))
        keys = sorted(found)
        present = self._store.present(as_keys(b"".join(keys)))
        return [
            (key, found[key].decode(errors="surrogatepass"))
            for key, here in zip(keys, present.tolist(), strict=True)
            if not here
        ]


class EncodeTokens:
    """Ray Data's callable: embeddings of tokenised texts, into the store; the encoder is loaded at the first ones."""

    def __init__(self, model: ModelConfig, root: Path, num_gpus: float, compiled: bool = False) -> None:
        """num_gpus: what this worker was promised. compiled: whether the encoder is compiled for its GPU."""
        self._model, self._num_gpus, self._compiled = model, num_gpus, compiled
        self._store = EmbeddingStore(root, spec_of(model))

    @cached_property
    def _encoder(self) -> "TextEncoder":
        from hydra_ray.models.encoder import frozen_encoder
        from hydra_ray.utils.device import worker_device

        return frozen_encoder(self._model, worker_device(self._num_gpus), self._compiled)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """batch: as `TokenizeShard` yields. Returns `texts`, how many there were."""
        from hydra_ray.models.encoder import encode_table

        if not len(batch):
            return pa.table({"texts": pa.array([0])})
        keys = as_keys(b"".join(batch["key"].to_pylist()))
        self._store.append(keys, encode_table(self._encoder, token_table_of(batch)))
        return pa.table({"texts": pa.array([len(keys)])})


def token_table_of(batch: pa.Table) -> "TokenTable":
    """The tokens that `TokenizeShard` put into a table, or into a slice of one."""
    from hydra_ray.models.token_table import TokenTable

    columns, starts = {}, None
    for name in (name for name in batch.column_names if name.startswith(_TOKENS)):
        lists = batch[name].combine_chunks()
        columns[name.removeprefix(_TOKENS)] = lists.flatten().to_numpy()
        offsets = lists.offsets.to_numpy().astype("int64")
        starts = offsets - offsets[0]
    assert starts is not None, "a tokenizer makes input_ids at least"
    return TokenTable(columns, starts)
