"""Encoder-decoders from folders, and what is refused."""

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch

from hydra_ray.errors import UserError
from hydra_ray.models.model_copy import copy_model
from hydra_ray.models.seq2seq import check_seq2seq, encoder_text, is_seq2seq, load_seq2seq
from tests.models.lora.small_llama import write_llama
from tests.models.small_t5 import write_t5


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_t5(tmp_path_factory.mktemp("t5") / "model")


def logits(folder: Path) -> torch.Tensor:
    found = load_seq2seq(str(folder))
    ids = found.tokenizer("the brown heron", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        out: torch.Tensor = found.model(input_ids=ids, decoder_input_ids=torch.tensor([[2, 300, 400]])).logits
    return out


def test_a_loaded_model_is_ready_to_answer(t5: Path) -> None:
    found = load_seq2seq(str(t5))
    assert is_seq2seq(t5)
    assert found.longest is None  # T5's positions are relative
    assert not found.model.training
    assert not any(parameter.requires_grad for parameter in found.model.parameters())
    assert found.tokenizer("heron")["input_ids"][-1] == found.tokenizer.eos_token_id


def test_a_head_of_its_own_is_kept_without_a_warning(
    t5: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """FlanT5's, whatever the configuration says of tied embeddings."""
    model = load_seq2seq(str(t5)).model
    assert model.lm_head.weight.data_ptr() != model.shared.weight.data_ptr()
    shutil.copytree(t5, tmp_path / "flan")
    file = tmp_path / "flan" / "config.json"
    config = json.loads(file.read_text())
    del config["scale_decoder_outputs"]
    file.write_text(json.dumps({**config, "tie_word_embeddings": False}))  # as FlanT5's says
    logging.getLogger("transformers").addHandler(caplog.handler)
    try:
        found = logits(tmp_path / "flan")
        copied = copy_model(tmp_path / "flan", lambda model: None, tmp_path / "copy")
        again = logits(copied)
    finally:
        logging.getLogger("transformers").removeHandler(caplog.handler)
    assert torch.equal(found, logits(t5))
    assert torch.equal(again, found)
    assert not caplog.records


def test_a_changed_copy_is_another_model(t5: Path, tmp_path: Path) -> None:
    copied = copy_model(t5, lambda model: model.lm_head.weight.mul_(2), tmp_path / "copy")
    assert torch.allclose(logits(copied), 2 * logits(t5), atol=1e-5)
    assert (copied / "tokenizer.json").read_bytes() == (t5 / "tokenizer.json").read_bytes()


def test_what_is_no_encoder_decoder_is_one_line(t5: Path, tmp_path: Path) -> None:
    llama = write_llama(tmp_path / "llama")
    assert not is_seq2seq(llama)
    with pytest.raises(UserError, match=r"LlamaForCausalLM is no encoder-decoder LM.*llm\.serve\.engine=vllm$"):
        check_seq2seq(llama)
    with pytest.raises(UserError, match="no encoder-decoder LM"):
        load_seq2seq(str(llama))
    with pytest.raises(UserError, match=r"no model there \(config.json is missing\)"):
        check_seq2seq(tmp_path)
    shutil.copytree(t5, tmp_path / "empty")
    (tmp_path / "empty" / "model.safetensors").unlink()
    with pytest.raises(UserError, match="holds no weights"):
        check_seq2seq(tmp_path / "empty")
    (tmp_path / "empty" / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config.json cannot be read") as error:
        check_seq2seq(tmp_path / "empty")
    assert "\n" not in str(error.value)


def test_a_tokenizer_without_an_end_is_one_line(t5: Path, tmp_path: Path) -> None:
    shutil.copytree(t5, tmp_path / "endless")
    file = tmp_path / "endless" / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps({name: value for name, value in settings.items() if name != "eos_token"}))
    with pytest.raises(UserError, match="its tokenizer has no end token; name one as eos_token"):
        load_seq2seq(str(tmp_path / "endless"))


def test_a_decoder_without_a_start_is_one_line(t5: Path, tmp_path: Path) -> None:
    shutil.copytree(t5, tmp_path / "startless")
    file = tmp_path / "startless" / "config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps({**settings, "decoder_start_token_id": None}))
    with pytest.raises(UserError, match=r"config\.json names no decoder_start_token_id.*; name one$"):
        load_seq2seq(str(tmp_path / "startless"))


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        UserError, match=r"^no/such-model: the model cannot be loaded \(.*[^.]\); check name and "
    ) as error:
        load_seq2seq("no/such-model")
    assert "\n" not in str(error.value)


def test_a_chat_is_its_texts() -> None:
    assert encoder_text([{"role": "user", "content": "a"}]) == "a"
    assert encoder_text([{"role": "system", "content": "s"}, {"role": "user", "content": "a"}]) == "s\n\na"
