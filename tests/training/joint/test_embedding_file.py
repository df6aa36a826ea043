"""Embeddings in a file: the scorer reads from it what it would read from a table in memory."""

import errno
import os
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hydra_ray.config import ModelConfig
from hydra_ray.errors import UserError
from hydra_ray.models.scorer import PairBatch, PairScorer
from hydra_ray.training.joint import embedding_file
from hydra_ray.training.joint.embedding_file import EmbeddingFile, read_all, read_batch

TEXTS, WIDTH = 50, 16


def table(*shape: int) -> Tensor:
    """Numbers that fp16 holds."""
    return torch.randn(TEXTS, *shape, generator=torch.Generator().manual_seed(0)).half().float()


def filed(values: Tensor, dtype: Any = np.float16) -> EmbeddingFile:
    file = EmbeddingFile(tuple(values.shape), dtype)
    for start, part in read_all([str(i) for i in range(TEXTS)], lambda some: values[[int(text) for text in some]]):
        file.write(start, part.numpy())
    return file


def made_batch() -> PairBatch:
    draw = torch.Generator().manual_seed(1)
    return PairBatch(
        torch.randint(TEXTS, (5,), generator=draw),
        torch.randint(TEXTS, (5, 4), generator=draw),
        torch.ones(5, 4),
        torch.ones(5, 4),
        torch.zeros(5, dtype=torch.int64),
        torch.rand(5, 4, 1, generator=draw),
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_what_was_written_is_read(monkeypatch: pytest.MonkeyPatch, dtype: Any) -> None:
    monkeypatch.setattr(embedding_file, "CHUNK", 7)
    values = table(3, WIDTH)
    file = filed(values, dtype)
    assert torch.equal(file.rows(np.array([49, 0, 0])), values[[49, 0, 0]])
    assert torch.equal(torch.cat(list(file.chunks())), values)


@pytest.mark.parametrize(("pair", "shape"), [("bi_encoder", (WIDTH,)), ("concepts", (3, WIDTH))])
def test_a_batch_scores_as_from_memory(pair: Any, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    scorer = PairScorer(ModelConfig(pair=pair, pair_dim=8, head="linear"), None, WIDTH, True, 1).eval()
    values, batch = table(*shape), made_batch()
    deltas = {name: torch.zeros(1, *value.shape[1:]) for name, value in scorer.head.learned(1).items()}
    read, renumbered = read_batch(filed(values), batch)
    assert len(read) == len(torch.cat([batch.query, batch.candidates.flatten()]).unique())
    with torch.no_grad():
        assert torch.equal(scorer(read, renumbered, deltas), scorer(values, batch, deltas))


def test_a_disk_without_room_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"no room for the embeddings of 2000000 texts \(1\.5 GB\): .*set TMPDIR"):
        EmbeddingFile((2_000_000, 384), np.float16)
