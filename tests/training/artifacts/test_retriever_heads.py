from pathlib import Path

import numpy as np
import pytest
import torch

from hydra_ray.config import ModelConfig
from hydra_ray.core.retrieval import RetrieverSettings
from hydra_ray.core.types import HistoryItem
from hydra_ray.errors import UserError
from hydra_ray.training.artifacts.retriever_heads import ABOUT, numbers_of, retriever_heads, save_heads
from hydra_ray.training.artifacts.trained_retriever import TrainedRetriever, save_retriever


@pytest.fixture
def retriever(tmp_path: Path) -> TrainedRetriever:
    """Of embeddings with two numbers, whose matrix leaves them as they are."""
    return learned(tmp_path / "retriever", 1.0)


def learned(folder: Path, factor: float) -> TrainedRetriever:
    folder.mkdir()
    save_retriever(folder, ModelConfig(), {"projection.weight": factor * torch.eye(2)}, {})
    return TrainedRetriever.load("ropg", folder)


def write(folder: Path, retriever: TrainedRetriever, **heads: tuple[float, float]) -> Path:
    folder.mkdir()
    save_heads(folder, retriever, 8, {u: np.array(h, dtype=np.float32) for u, h in heads.items()}, {"l2": 0.1})
    return folder


def test_a_users_head_changes_what_comes_first_and_others_have_the_retriever(
    tmp_path: Path, retriever: TrainedRetriever
) -> None:
    heads = retriever_heads("x", write(tmp_path / "a", retriever, ann=(-1.0, 0.0)), retriever.digest)
    items = [HistoryItem("wide", "2 0", "2 0", "", None), HistoryItem("tall", "0 1", "0 1", "", None)]
    settings = RetrieverSettings(encode=lambda texts: np.array([t.split() for t in texts], dtype=np.float32))
    first = {
        user: retriever.over(items, settings, heads.of(user)).top("1 1", 1)[0][0].item_id for user in ("ann", "bob")
    }
    assert first == {"ann": "tall", "bob": "wide"}
    assert heads.of("bob") is None
    assert numbers_of("x", tmp_path / "a") == 2


def test_nobody_needs_a_head(tmp_path: Path, retriever: TrainedRetriever) -> None:
    assert retriever_heads("x", write(tmp_path / "a", retriever), retriever.digest).of("ann") is None


def test_heads_of_another_retriever_are_one_line(tmp_path: Path, retriever: TrainedRetriever) -> None:
    folder, other = write(tmp_path / "a", retriever, ann=(1.0, 1.0)), learned(tmp_path / "other", 2.0)
    assert other.digest != retriever.digest
    with pytest.raises(UserError, match=r"holds heads of another base: '\w+' where '\w+' is asked for"):
        retriever_heads("x", folder, other.digest)


def test_a_folder_without_heads_is_one_line(tmp_path: Path, retriever: TrainedRetriever) -> None:
    with pytest.raises(UserError, match=r"^x: no trained heads in .*; remove the folder and run again"):
        retriever_heads("x", tmp_path / "gone", retriever.digest)
    (write(tmp_path / "a", retriever) / ABOUT).unlink()
    with pytest.raises(UserError, match=r"^x: no trained heads in "):
        numbers_of("x", tmp_path / "a")
