from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from hydra_ray.config import ModelConfig
from hydra_ray.models.sentence_embeddings import sentence_embeddings
from hydra_ray.models.text_embeddings import text_embeddings
from hydra_ray.training.joint import embedding_file
from hydra_ray.training.joint.embedding_file import EmbeddingFile
from hydra_ray.training.joint.ranking_examples import RankingExample, examples_to_table
from hydra_ray.training.joint.worker_shard import WorkerShard
from hydra_ray.utils.device import CPU
from tests.training.tiny import make_encoder


def example(user: int, query: int) -> RankingExample:
    """A query of a user whose bucket is not in the order of its name."""
    name = f"u{user}"
    return RankingExample(
        name, (user * 3) % 5, f"{name}-{query}", f"text {user} {query}", ("a", "b"), (1.0, 0.0), ((), ())
    )


def write(folder: Path, files: int) -> Path:
    """Five users' ranking examples, bucket by bucket, cut into as many files as there were actors."""
    folder.mkdir()
    users = sorted(range(5), key=lambda user: example(user, 0).bucket)
    for number in range(files):
        mine = sorted(users[number * 5 // files : (number + 1) * 5 // files])
        table = examples_to_table([example(user, query) for user in mine for query in range(3)])
        pq.write_table(table, folder / f"part-{number}.parquet")
    return folder


@pytest.mark.parametrize("files", [2, 5])
def test_the_plan_does_not_depend_on_how_examples_were_cut_into_files(tmp_path: Path, files: int) -> None:
    one, other = (WorkerShard(write(tmp_path / str(count), count), 0, 2) for count in (1, files))
    assert one.examples == other.examples
    assert list(one.examples) == list(other.examples)
    assert one.plan(4, 0, 1) == other.plan(4, 0, 1)
    assert len(one.examples) < len(one.buckets)
    assert [example.query_id for example in one.examples.values()] == sorted(
        example.query_id for example in one.examples.values()
    )


@pytest.mark.parametrize("pair", ["bi_encoder", "concepts", "none"])
@pytest.mark.parametrize("kept", [True, False])
def test_embeddings_that_would_fill_memory_come_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair: Any, kept: bool
) -> None:
    model = ModelConfig(encoder=str(make_encoder(tmp_path / "encoder")), pair=pair, max_tokens=16, sentences=3)
    monkeypatch.setattr(embedding_file, "CHUNK", 4)
    shard, store = WorkerShard(write(tmp_path / "examples", 2), 0, 1), tmp_path / "store" if kept else None
    in_memory = shard.inputs(model, store, CPU, 1 << 30, lambda line: None)
    assert isinstance(in_memory, Tensor)
    in_file = shard.inputs(model, store, CPU, 1, lambda line: None)
    assert isinstance(in_file, EmbeddingFile)
    assert torch.equal(torch.cat(list(in_file.chunks())), in_memory)
    texts = shard.texts.texts
    whole = sentence_embeddings(text_embeddings(model, store), texts, pair, model.sentences)
    torch.testing.assert_close(in_memory, whole, atol=1e-3 if kept else 1e-5, rtol=0)
