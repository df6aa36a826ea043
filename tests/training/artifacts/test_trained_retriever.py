"""A trained retriever at work."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hydra_ray.core.retrieval import RetrieverSettings
from hydra_ray.core.types import HistoryItem
from hydra_ray.errors import UserError
from hydra_ray.models.text_embeddings import text_embeddings
from hydra_ray.training.artifacts.trained_retriever import ENCODER, TrainedRetriever
from tests.training.retriever.trained import WANTED, make_job, trained
from tests.training.tiny import WORDS, make_encoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("encoder") / "tiny", spread=0.5)


def one_hot(texts: Sequence[str]) -> NDArray[np.float32]:
    """Each text's first word."""
    return np.eye(len(WORDS), dtype=np.float32)[[WORDS.index(text.split()[0]) for text in texts]]


@pytest.mark.parametrize("goal", ["kd", "rl"])
@pytest.mark.parametrize("objective", ["clean", "released"])
def test_the_matrix_puts_first_what_helps(
    alone: None, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, goal: str, objective: str
) -> None:
    monkeypatch.setattr("hydra_ray.training.retriever.worker.text_embeddings", lambda *args: one_hot)
    about = trained(make_job(tmp_path / "job", encoder, goal, lr=0.1, objective=objective))
    # Untrained, a query's own word comes first, and of the others, which score alike, the earlier.
    ranks = [2, 3, 4, 5, 6, 7, 8, 2]
    assert about["ndcg_untrained"] == pytest.approx(np.mean([1 / math.log2(1 + rank) for rank in ranks]))
    if (goal, objective) == ("rl", "released"):  # the first item's reward is nearly always 0, and draws are few
        assert about["ndcg"] > about["ndcg_untrained"]
        return
    assert about["ndcg"] == 1
    found = TrainedRetriever.load("ropg", tmp_path / "job" / "out")
    assert best_of(found, RetrieverSettings(encode=one_hot)) == WANTED


def best_of(found: TrainedRetriever, settings: RetrieverSettings) -> dict[str, str]:
    """The item that each word finds first."""
    items = [HistoryItem(word, f"{word} thing", f"{word} thing", "", None) for word in WORDS]
    retriever = found.over(items, settings)
    return {word: retriever.top(f"{word} text", 1)[0][0].item_id for word in WORDS}


def test_a_whole_encoder_learns_it_too(alone: None, encoder: Path, tmp_path: Path) -> None:
    about = trained(
        make_job(tmp_path / "job", encoder, freeze_encoder=False, epochs=80, batch_queries=24, encoder_lr=0.003)
    )
    assert about["ndcg"] > 0.95 > 0.5 > about["ndcg_untrained"]
    assert (tmp_path / "job" / "out" / ENCODER / "config.json").exists()
    found = TrainedRetriever.load("ropg", tmp_path / "job" / "out")
    assert found.projection is None
    right = best_of(found, RetrieverSettings())
    assert sum(right[word] == WANTED[word] for word in WORDS) >= 7


def test_another_width_is_one_line(alone: None, encoder: Path, tmp_path: Path) -> None:
    trained(make_job(tmp_path / "job", encoder, epochs=1))
    found = TrainedRetriever.load("ropg_kd", tmp_path / "job" / "out")
    item = HistoryItem("i", "text", "text", "", None)
    with pytest.raises(UserError, match=r"^ropg_kd: trained on embeddings of 32 numbers, the encoder in use gives 3:"):
        found.over([item], RetrieverSettings(encode=lambda texts: torch.ones(len(texts), 3).numpy())).top("text", 1)
    assert found.over([], RetrieverSettings(encode=text_embeddings(found.model, None))).top("text", 4) == []
    (tmp_path / "job" / "out" / "retriever.json").write_text(json.dumps({"width": 32}))
    with pytest.raises(UserError, match=r"^ropg_kd: no trained retriever in"):
        TrainedRetriever.load("ropg_kd", tmp_path / "job" / "out")
