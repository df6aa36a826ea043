"""A retriever's training in one process: it learns what the rewards say; a checkpoint goes on as if never stopped."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hydra_ray.errors import UserError
from hydra_ray.training.joint.engine_state import WEIGHTS
from hydra_ray.training.retriever.lists import split_lists, write_lists
from hydra_ray.training.retriever.worker import RetrieverWorker
from tests.training.retriever.trained import lists, make_job, trained
from tests.training.tiny import make_encoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("encoder") / "tiny", spread=0.5)


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


def test_no_checkpoint_before_its_time(alone: None, encoder: Path, tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", encoder, epochs=3)
    seldom = replace(job, train=job.train.model_copy(update={"checkpoint_interval_s": 60}))
    trained(seldom, keep=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


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


@pytest.mark.parametrize("freeze", [True, False])
def test_micro_batches_learn_the_same(alone: None, encoder: Path, tmp_path: Path, freeze: bool) -> None:
    job = make_job(tmp_path / "whole", encoder, epochs=3, batch_queries=6, freeze_encoder=freeze)
    cut = make_job(tmp_path / "cut", encoder, epochs=3, batch_queries=6, freeze_encoder=freeze)
    cut = replace(cut, train=cut.train.model_copy(update={"gradient_accumulation_steps": 4}))
    whole, parts = trained(job), trained(cut)
    losses = [row["loss"] for row in whole["epochs"]]
    assert losses[-1] < 0.9 * losses[0]
    assert [row["loss"] for row in parts["epochs"]] == pytest.approx(losses, rel=1e-4)
    assert parts["ndcg"] == pytest.approx(whole["ndcg"])


def test_no_memory_for_the_activations_is_one_line(
    alone: None, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(self: RetrieverWorker, *args: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(RetrieverWorker, "_loss", none_left)
    with pytest.raises(UserError, match=r"out of memory on cpu in epoch 1: raise train\.gradient_accumulation_steps"):
        trained(make_job(tmp_path / "job", encoder))
