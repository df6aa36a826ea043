"""A fine-tuning in one process is a plain loop of PyTorch's, and goes on from its checkpoints."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from hydra_ray.errors import UserError
from hydra_ray.models.lora.decoder import Decoder, load_decoder
from hydra_ray.training.finetune.finetune_job import FinetuneRows
from hydra_ray.training.finetune.trainer import MODEL, finetune, keep_result
from hydra_ray.training.finetune.worker import BEST
from hydra_ray.training.user_lora.losses import RowBatch, row_losses
from hydra_ray.training.user_lora.rows import TokenRow
from hydra_ray.utils.device import CPU
from tests.training.finetune.one_worker import make_job, plain, trained
from tests.training.user_lora.some_rows import some_users


def rows_of(base: Decoder, held_out: int = 0) -> FinetuneRows:
    """11 rows of two users; and `held_out` rows of a third."""
    first, second, third = some_users(base, (6, 5, max(1, held_out)))
    return FinetuneRows((*first.rows, *second.rows), third.rows[:held_out])


def loss_of(model: Any, rows: Sequence[TokenRow]) -> torch.Tensor:
    return row_losses(model, RowBatch.of(rows, CPU)).sum() / sum(row.learned for row in rows)


@pytest.mark.parametrize("train", [{}, {"zero_stage": 0}, {"zero_stage": 3, "gradient_accumulation_steps": 2}])
def test_it_is_a_plain_loop_over_all_weights(alone: None, base: Decoder, tmp_path: Path, train: Any) -> None:
    rows = rows_of(base)
    job = make_job(tmp_path / "job", base.folder, rows, train)
    about = trained(job)
    found, expected = load_file(job.result / BEST), plain(job, rows, load_decoder(job.base).model, loss_of)
    assert found.keys() == expected.keys()
    # AdamW divides by the gradient's size, so that rounding shows where a gradient is nearly zero.
    assert max(float((found[name] - expected[name]).abs().max()) for name in expected) < 1e-4
    before = dict(base.model.named_parameters())
    assert all(float((expected[name] - before[name]).abs().max()) > 1e-4 for name in expected)
    assert [epoch["held_out"] for epoch in about["epochs"]] == [None] * 3
    assert about["epochs"][-1]["loss"] < about["epochs"][0]["loss"]
    assert about["best_epoch"] == 3


def test_the_folder_is_another_llm_with_the_same_tokenizer(alone: None, base: Decoder, tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", base.folder, rows_of(base), epochs=1)
    trained(job)
    found, weights = load_decoder(job.scratch / MODEL), load_file(job.result / BEST)
    assert all(torch.equal(value, weights[name]) for name, value in found.model.named_parameters())
    assert found.digest != base.digest
    keep_result(job, job.scratch)  # an attempt that is made again
    assert found.tokenizer.get_vocab() == base.tokenizer.get_vocab()


def test_held_out_rows_choose_the_epoch(alone: None, base: Decoder, tmp_path: Path) -> None:
    rows = rows_of(base, held_out=3)
    about = trained(make_job(tmp_path / "slow", base.folder, rows))
    losses = [about["before"], *(epoch["held_out"] for epoch in about["epochs"])]
    assert about["best"] == min(losses) < about["before"]
    assert about["best_epoch"] == losses.index(min(losses))
    # The mean over the learned tokens, as of one batch.
    with torch.no_grad():
        whole = row_losses(base.model, RowBatch.of(rows.held_out, CPU)).sum()
    assert about["before"] == pytest.approx(float(whole) / sum(row.learned for row in rows.held_out), abs=1e-5)
    wild = make_job(tmp_path / "wild", base.folder, rows, lr=10.0, epochs=1)
    assert trained(wild)["best_epoch"] == 0
    assert not (wild.scratch / MODEL).exists()


def test_no_checkpoint_before_its_time(alone: None, base: Decoder, tmp_path: Path) -> None:
    rows = rows_of(base, held_out=2)
    trained(make_job(tmp_path / "job", base.folder, rows, {"checkpoint_interval_s": 60}), keep=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_it_goes_on_from_a_checkpoint(alone: None, base: Decoder, tmp_path: Path) -> None:
    rows = rows_of(base, held_out=2)
    whole = trained(make_job(tmp_path / "whole", base.folder, rows), keep=tmp_path / "checkpoint")
    rest = make_job(tmp_path / "rest", base.folder, rows)
    assert trained(rest, tmp_path / "checkpoint")["epochs"] == [
        {name: pytest.approx(value, abs=1e-5) for name, value in epoch.items()} for epoch in whole["epochs"]
    ]
    (tmp_path / "checkpoint" / "at.json").write_text("{")
    with pytest.raises(UserError, match="the checkpoint cannot be read"):
        trained(make_job(tmp_path / "broken", base.folder, rows), tmp_path / "checkpoint")


def test_rows_that_the_llm_cannot_read_are_one_line(alone: None, base: Decoder, tmp_path: Path) -> None:
    long = FinetuneRows((TokenRow(tuple(range(300)), 290),))
    with pytest.raises(UserError, match=r"^finetune\.max_tokens=200: the LLM reads 256 tokens at most: set "):
        trained(make_job(tmp_path / "job", base.folder, long))


def test_an_llm_that_does_not_fit_is_one_line(
    alone: None, base: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hydra_ray.training.finetune.worker.free_memory", lambda *args: 1000)
    with pytest.raises(UserError, match=r"^finetuned: [\d,]+ weights with gradients and moments take .* GB are left"):
        trained(make_job(tmp_path / "job", base.folder, rows_of(base)))


def test_no_memory_for_a_step_is_one_line(
    alone: None, base: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*args: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("hydra_ray.training.finetune.language_model.row_losses", none_left)
    with pytest.raises(UserError, match=r"^finetuned: out of memory on cpu in step 1: raise train\.gradient_accum"):
        trained(make_job(tmp_path / "job", base.folder, rows_of(base)))


def test_a_loss_that_is_not_finite_is_one_line(alone: None, base: Decoder, tmp_path: Path) -> None:
    broken = load_decoder(base.folder).model
    with torch.no_grad():
        broken.model.norm.weight.fill_(float("nan"))
    shutil.copytree(base.folder, tmp_path / "broken")
    broken.save_pretrained(tmp_path / "broken")
    job = make_job(tmp_path / "job", load_decoder(tmp_path / "broken").folder, rows_of(base))
    with pytest.raises(UserError, match=r"^finetuned: the loss is nan in step 1: lower finetune\.lr"):
        trained(job)


def test_no_rows_are_one_line(base: Decoder, tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", base.folder, FinetuneRows(()))
    with pytest.raises(UserError, match=r"^finetuned: no rows of training users to learn from"):
        finetune(job, FinetuneRows(()), tmp_path, print)
