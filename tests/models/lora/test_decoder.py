"""Bases that are loaded, and folders that are none."""

import json
from pathlib import Path

import pytest

from hydra_ray.errors import UserError
from hydra_ray.models.encoder_source import encoder_path
from hydra_ray.models.lora.decoder import load_decoder
from hydra_ray.tiny_llm.export import WEIGHTS
from tests.models.lora.small_llama import write_llama


def test_the_packaged_llm_is_a_base() -> None:
    base = load_decoder(WEIGHTS)
    assert (base.width, base.longest) == (128, 2048)
    assert not base.model.training
    assert not any(weight.requires_grad for weight in base.model.parameters())


def test_an_encoder_is_no_base() -> None:
    with pytest.raises(UserError, match="BertModel is no decoder LM"):
        load_decoder(Path(encoder_path("minilm")))


def test_an_encoder_decoder_is_no_base(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]})
    )
    with pytest.raises(UserError, match="T5ForConditionalGeneration is no decoder LM"):
        load_decoder(tmp_path)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.json is missing"):
        load_decoder(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json cannot be read"):
        load_decoder(tmp_path)


def test_missing_and_damaged_weights(tmp_path: Path) -> None:
    write_llama(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError, match="cannot be loaded") as raised:
        load_decoder(tmp_path)
    assert "\n" not in str(raised.value)
    file.unlink()
    with pytest.raises(UserError, match="holds no weights"):
        load_decoder(tmp_path)


def test_a_tokenizer_without_an_end_token(tmp_path: Path) -> None:
    write_llama(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    del settings["eos_token"]
    file.write_text(json.dumps(settings))
    with pytest.raises(UserError, match="no end token"):
        load_decoder(tmp_path)
