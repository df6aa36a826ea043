import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hydra_ray.config import ModelConfig, ResourcesConfig
from hydra_ray.models.encoder import encode_texts, frozen_encoder
from hydra_ray.models.encoder_source import spec_of
from hydra_ray.pipeline import encode_texts as subject
from hydra_ray.pipeline.encode_texts import (
    EncodeTokens,
    TokenizeShard,
    WriteDistinct,
    distinct_texts,
    encode_source,
    token_table_of,
)
from hydra_ray.store.embeddings.embedding_store import EmbeddingStore
from hydra_ray.store.embeddings.keys import SHARDS, shards_of, text_keys
from tests.models.test_encoder import make_encoder

WORDS = [f"w{i}" for i in range(20)]
TEXTS = [f"{a} {b} {c}" for a in WORDS for b in WORDS[:5] for c in WORDS[:3]] + ["", "w1 \ud800"]


@dataclass(frozen=True)
class Listed:
    """The texts of a list; each bucket has a part of them, and the first ones again."""

    encoder: str
    count: int = len(TEXTS)

    @property
    def model(self) -> ModelConfig:
        return ModelConfig(encoder=self.encoder, max_tokens=16)

    def buckets(self) -> list[int]:
        return [0, 1, 2]

    def texts(self, buckets: Sequence[int]) -> Iterator[str]:
        for bucket in buckets:
            yield from TEXTS[: self.count][bucket::3]
            yield from TEXTS[:5]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Listed:
    return Listed(make_encoder(tmp_path_factory.mktemp("encoder"), "bert", pad_token="<pad>", unk_token="<unk>"))


def store_of(root: Path, source: Listed) -> EmbeddingStore:
    return EmbeddingStore(root, spec_of(source.model))


def no_ray() -> None:
    raise AssertionError("few texts need no Ray")


def encode(
    source: Listed, folder: Path, start_ray: Any = no_ray, few_in_driver: bool = True
) -> tuple[dict[str, int], list[str]]:
    lines: list[str] = []
    resources = ResourcesConfig(few_in_driver=few_in_driver)
    counts = encode_source(source, folder / "store", folder / "scratch", resources, lines.append, start_ray)
    return counts, lines


def check(folder: Path, source: Listed) -> None:
    """Every text's embedding is the encoder's, rounded."""
    expected = encode_texts(frozen_encoder(source.model), TEXTS)
    found = store_of(folder / "store", source).lookup(TEXTS)
    assert np.abs(found - expected).max() < 2e-3
    assert np.array_equal(found, found.astype(np.float16))


def test_distinct_texts_until_there_are_too_many() -> None:
    assert distinct_texts(["b", "a", "b"], 2) == ["b", "a"]
    taken = itertools.count()
    assert distinct_texts((str(i) for i in taken), 10) is None
    assert next(taken) == 11


def test_few_texts_are_encoded_without_ray_and_only_once(source: Listed, tmp_path: Path) -> None:
    some = Listed(source.encoder, 100)
    assert encode(some, tmp_path) == ({"texts": 100, "encoded": 100}, ["100 texts, 100 to encode"])
    left = len(TEXTS) - 100
    assert encode(source, tmp_path) == ({"texts": len(TEXTS), "encoded": left}, [f"302 texts, {left} to encode"])
    assert encode(source, tmp_path) == ({"texts": len(TEXTS), "encoded": 0}, [])
    check(tmp_path, source)


def shard_by_shard(source: Listed, folder: Path, shards: Sequence[int] = range(SHARDS)) -> list[int]:
    """What the workers do, one after the other; the numbers of texts encoded."""
    tokenize = TokenizeShard(source.model, folder / "store", folder / "texts")
    work = EncodeTokens(source.model, folder / "store", 0)
    tables = tokenize({"shard": np.asarray(shards)})
    return [work(table)["texts"][0].as_py() for table in tables]


def test_workers_encode_each_text_once_and_go_on_after_a_kill(
    source: Listed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # of a hundred small files
    monkeypatch.setattr(subject, "FRAGMENT", 3)
    monkeypatch.setattr(subject, "TEXTS_IN_MEMORY", 50)
    (tmp_path / "texts").mkdir()
    WriteDistinct(source, tmp_path / "texts")({"number": np.array([0, 1]), "buckets": [[0, 2], [1]]})
    of_shard = np.bincount(shards_of(text_keys(TEXTS)), minlength=SHARDS)
    assert sum(shard_by_shard(source, tmp_path, range(40))) == of_shard[:40].sum()
    again = shard_by_shard(source, tmp_path)
    assert sum(again) == of_shard[40:].sum()
    assert max(again) == 3
    assert [int((tmp_path / "texts" / f"{shard:02x}.count").read_text()) for shard in range(SHARDS)] == [*of_shard]
    check(tmp_path, source)
    assert shard_by_shard(source, tmp_path) == []


def test_a_slice_of_a_block_holds_its_own_tokens() -> None:
    lists = pa.array([[1, 2], [3], [4, 5, 6], [7]], pa.list_(pa.int32()))
    block = pa.table({"key": list("abcd"), "token_input_ids": lists}).slice(1, 2)
    table = token_table_of(block)
    assert table.starts.tolist() == [0, 1, 4]
    assert {name: values.tolist() for name, values in table.columns.items()} == {"input_ids": [3, 4, 5, 6]}


@pytest.mark.cluster
def test_other_texts_go_through_ray_data(source: Listed, tmp_path: Path, cluster: str) -> None:
    encode(Listed(source.encoder, 100), tmp_path)
    started: list[int] = []
    counts, lines = encode(source, tmp_path, lambda: started.append(1), few_in_driver=False)
    assert started == [1]
    assert counts == {"texts": len(TEXTS), "encoded": len(TEXTS) - 100}
    assert lines[-1] == (f"{len(TEXTS)} texts, {len(TEXTS) - 100} of them encoded")
    check(tmp_path, source)
