"""A retriever's training in one process: it learns what the rewards say; a checkpoint goes on as if never stopped."""

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from hydra_ray.config import ModelConfig, RopgConfig, TrainConfig
from hydra_ray.core.retrieval import RetrieverSettings
from hydra_ray.core.rewards import RewardedList
from hydra_ray.core.types import HistoryItem
from hydra_ray.errors import UserError
from hydra_ray.models.text_embeddings import text_embeddings
from hydra_ray.training.artifacts.trained_retriever import ENCODER, TrainedRetriever
from hydra_ray.training.joint.engine_state import WEIGHTS
from hydra_ray.training.retriever.lists import split_lists, write_lists
from hydra_ray.training.retriever.retriever_job import RetrieverJob
from hydra_ray.training.retriever.trainer import keep_result
from hydra_ray.training.retriever.worker import RetrieverWorker
from tests.training.tiny import WORDS, make_encoder

WANTED = dict(zip(WORDS, [*WORDS[1:], WORDS[0]], strict=True))
"""Query -> the item that helps the LLM: never the one that is most alike."""


def lists() -> list[RewardedList]:
    """Each word as a query of four users; the next word is the one that helps."""
    return [
        RewardedList(f"u{i % 4}", f"{word} text", tuple(f"{w} thing" for w in WORDS),
                     tuple(float(w == WANTED[word]) for w in WORDS))
        for i in range(4) for word in WORDS
    ]  # fmt: skip


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("encoder") / "tiny", spread=0.5)


def make_job(folder: Path, encoder: Path, goal: Any = "kd", **ropg: Any) -> RetrieverJob:
    settings = {"epochs": 20, "batch_queries": 8, "lr": 0.02, "encoder_lr": 0.01, "teacher_temperatures": [0.2], **ropg}
    model = ModelConfig(encoder=str(encoder), max_tokens=32)
    job = RetrieverJob(
        model, RopgConfig(**settings), TrainConfig(), goal, folder / "lists.parquet", "ropg", 0, folder, None
    )
    folder.mkdir(exist_ok=True)
    write_lists(split_lists("ropg", lists(), 0.25, 0, equal_ones=False), job.lists)
    return job


def trained(job: RetrieverJob, start: Path | None = None, keep: Path | None = None) -> dict[str, Any]:
    """What the artifact says. keep: takes the checkpoint after the third epoch."""
    taken = 0

    def report(metrics: dict[str, float], folder: Path) -> None:
        nonlocal taken
        taken += 1
        if keep is not None and taken == 3:
            shutil.copytree(folder, keep)

    RetrieverWorker(job, 0, 1).run(start, report)
    out = job.scratch / "out"
    out.mkdir()
    return keep_result(job, 32, 0, out)


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


def test_a_training_that_was_cut_short_ends_with_the_same_weights(alone: None, encoder: Path, tmp_path: Path) -> None:
    job = make_job(tmp_path / "whole", encoder, epochs=5, teacher_temperatures=[0.2, 1])
    whole = trained(job, keep=tmp_path / "kept")
    again = make_job(tmp_path / "again", encoder, epochs=5, teacher_temperatures=[0.2, 1])
    assert trained(again, start=tmp_path / "kept") == whole
    first, second = (load_file(one.result / WEIGHTS) for one in (job, again))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert [(row["trial"], row["epoch"]) for row in whole["epochs"]] == [(t, e) for t in (0, 1) for e in range(1, 6)]
    assert "continuing with trial 1 after epoch 3" in (again.scratch / "progress").read_text()


def test_a_retriever_that_gets_worse_stays_as_it_was(alone: None, encoder: Path, tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", encoder, epochs=1, lr=1e-12)
    split = split_lists("ropg", lists(), 0.25, 0, equal_ones=False)
    # Held out: whatever the untrained retriever puts first is right.
    worker = RetrieverWorker(job, 0, 1)
    scores = worker._all_scores(worker.untrained(), split.held_out)
    right = tuple(
        replace(one, rewards=tuple(score - min(of_list) for score in of_list))
        for one, of_list in zip(split.held_out, scores, strict=True)
    )
    write_lists(replace(split, held_out=right), job.lists)
    about = trained(job)
    assert (about["epoch"], about["teacher_temperature"]) == (0, None)
    assert about["ndcg"] == about["ndcg_untrained"]
    weight = load_file(job.result / WEIGHTS)["projection.weight"]
    assert torch.equal(weight, torch.eye(32))


def test_a_loss_that_is_no_number_is_one_line(alone: None, encoder: Path, tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", encoder, lr=1e30)
    with pytest.raises(UserError, match=r"^ropg: the loss is (nan|inf) in epoch \d+: lower ropg\.lr"):
        trained(job)


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
