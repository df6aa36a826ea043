"""A fine-tuning of an encoder-decoder in one process is a plain loop of PyTorch's, with the model's own loss."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from hydra_ray.errors import UserError
from hydra_ray.models.seq2seq import load_seq2seq
from hydra_ray.training.finetune.finetune_job import FinetuneRows
from hydra_ray.training.finetune.language_model import load_language_model
from hydra_ray.training.finetune.seq2seq import Seq2SeqRowTokenizer
from hydra_ray.training.finetune.trainer import MODEL
from hydra_ray.training.finetune.worker import BEST
from hydra_ray.training.user_lora.rows import LoraRow, TokenRow
from tests.models.small_t5 import write_bart, write_t5
from tests.training.finetune.one_worker import make_job, plain, trained

NOT_LEARNED = -100
"""What transformers' losses leave out."""


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_t5(tmp_path_factory.mktemp("t5") / "model")


def rows_of(folder: Path, count: int) -> tuple[TokenRow, ...]:
    make = Seq2SeqRowTokenizer(load_seq2seq(str(folder)).tokenizer, 200)
    words = ("amber", "dune", "heron", "royal crowns")
    return tuple(
        make(LoraRow("u", f"Note: {'the brown ' * (i % 4)}heron {i}.\nTag:", words[i % 4])) for i in range(count)
    )


def own_loss(tokenizer: Any, model: Any, rows: Sequence[TokenRow]) -> torch.Tensor:
    """transformers shifts the labels and takes the mean over those that are learned."""
    prompts = tokenizer.pad({"input_ids": [list(row.ids[: row.prompt]) for row in rows]}, return_tensors="pt")
    labels = torch.full((len(rows), max(row.learned for row in rows)), NOT_LEARNED)
    for b, row in enumerate(rows):
        labels[b, : row.learned] = torch.tensor(row.ids[row.prompt :])
    loss: torch.Tensor = model(**prompts, labels=labels).loss
    return loss


@pytest.mark.parametrize("train", [{}, {"zero_stage": 0}, {"zero_stage": 3, "gradient_accumulation_steps": 2}])
def test_it_is_a_plain_loop_over_all_weights(alone: None, t5: Path, tmp_path: Path, train: Any) -> None:
    rows = FinetuneRows(rows_of(t5, 11))
    job = make_job(tmp_path / "job", t5, rows, train)
    about = trained(job)
    base = load_seq2seq(str(job.base))
    found, expected = load_file(job.result / BEST), plain(job, rows, base.model, partial(own_loss, base.tokenizer))
    assert found.keys() == expected.keys()
    assert {"shared.weight", "lm_head.weight"} <= found.keys()
    assert max(float((found[name] - expected[name]).abs().max()) for name in expected) < 1e-4
    before = dict(load_seq2seq(str(t5)).model.named_parameters())
    assert all(float((expected[name] - before[name]).abs().max()) > 1e-4 for name in expected)
    assert about["epochs"][-1]["loss"] < about["epochs"][0]["loss"]
    # What is written is what was learned, in the folder that is asked.
    written = load_seq2seq(str(job.scratch / MODEL)).model
    assert all(torch.equal(value, found[name]) for name, value in written.named_parameters())


def test_held_out_rows_choose_the_epoch_and_dropout_is_drawn_anew(alone: None, tmp_path: Path) -> None:
    base = write_t5(tmp_path / "model", dropout_rate=0.1)
    every = rows_of(base, 14)
    rows = FinetuneRows(every[:11], every[11:])
    about = trained(make_job(tmp_path / "one", base, rows), keep=tmp_path / "checkpoint")
    losses = [about["before"], *(epoch["held_out"] for epoch in about["epochs"])]
    assert about["best"] == min(losses) < about["before"]
    # A training that goes on from a checkpoint draws what the whole one would have.
    again = trained(make_job(tmp_path / "rest", base, rows), tmp_path / "checkpoint")
    assert again["epochs"] == [
        {name: pytest.approx(value, abs=1e-5) for name, value in epoch.items()} for epoch in about["epochs"]
    ]
    smooth = trained(make_job(tmp_path / "smooth", write_t5(tmp_path / "undropped"), rows))
    assert smooth["before"] == pytest.approx(about["before"], abs=1e-5)
    assert smooth["epochs"] != about["epochs"]


def test_an_encoder_decoder_reads_prompt_and_answer_apart(tmp_path: Path) -> None:
    folder = write_bart(tmp_path / "bart", 32)
    base = load_language_model(folder)
    assert not base.too_long(TokenRow(tuple(range(60)), 30))
    long = TokenRow(tuple(range(60)), 40)
    assert base.too_long(long)
    with pytest.raises(UserError, match=r"^finetune\.max_tokens=200: the LLM reads 32 tokens at most"):
        trained(make_job(tmp_path / "job", folder, FinetuneRows((long,))))
