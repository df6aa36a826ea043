import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hydra_ray.config import ModelConfig
from hydra_ray.errors import UserError
from hydra_ray.models import text_embeddings
from hydra_ray.models.scorer import PairScorer
from hydra_ray.training.artifacts.trained_scorer import (
    TrainedScorer,
    base_feature_width,
    fingerprint,
    load_scorer,
    save_base,
)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    config = ModelConfig(pair_dim=8)
    save_base(PairScorer(config, None, 8, False, 2).state_dict(), config, 8, 2, tmp_path, symmetric=False)
    return tmp_path


def test_what_was_saved_is_read(base: Path) -> None:
    assert base_feature_width(base) == 2
    assert load_scorer(base).config == ModelConfig(pair_dim=8)
    assert len(fingerprint(base)) == 16


@pytest.mark.parametrize("read", [load_scorer, fingerprint, base_feature_width])
def test_a_description_that_is_missing_or_broken_is_named(base: Path, read: Callable[[Path], Any]) -> None:
    description = base / "model.json"
    whole = json.loads(description.read_text())
    for spoilt, what in (
        ("{", "Invalid JSON"),
        (json.dumps({k: v for k, v in whole.items() if k != "feature_width"}), r"\(feature_width\)"),
        (json.dumps({**whole, "model": {**whole["model"], "pair": "tri"}}), r"\(model\.pair\)"),
    ):
        description.write_text(spoilt)
        with pytest.raises(UserError, match=rf"model\.json: broken, or made by another hydra_ray .*{what}"):
            read(base)
    description.unlink()
    with pytest.raises(UserError, match=r"model\.json is missing; .* run it again"):
        read(base)
    description.mkdir()
    with pytest.raises(UserError, match=r"model\.json: Is a directory; "):
        read(base)


def test_missing_weights_are_named(base: Path) -> None:
    (base / "base.safetensors").unlink()
    with pytest.raises(UserError, match=r"base\.safetensors is missing"):
        load_scorer(base)


@pytest.mark.parametrize("spoil", [lambda data: data[: len(data) // 2], lambda data: b"{}"])
def test_broken_weights_are_named(base: Path, spoil: Callable[[bytes], bytes]) -> None:
    file = base / "base.safetensors"
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(UserError, match=r"base\.safetensors: cannot be read, .*; train it again"):
        load_scorer(base)


def test_weights_of_another_width_are_named(base: Path) -> None:
    config = ModelConfig(pair_dim=16)
    save_base(PairScorer(config, None, 8, False, 2).state_dict(), config, 8, 2, base / "other", symmetric=False)
    (base / "other" / "base.safetensors").replace(base / "base.safetensors")
    with pytest.raises(UserError, match=r"belongs to another model\.json \(size mismatch"):
        load_scorer(base)


def test_it_reads_its_encoder_where_that_lies_now(base: Path) -> None:
    assert TrainedScorer.load(base, encoder="/moved/there").scorer.config.encoder == "/moved/there"
    assert TrainedScorer.load(base).scorer.config.encoder == "minilm"


@pytest.mark.parametrize("kept", [True, False])
def test_texts_without_a_kept_embedding_are_encoded_on_the_scorers_device(
    base: Path, tmp_path: Path, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`meta` stands for the device."""
    loaded: list[torch.device] = []

    def load(config: ModelConfig, device: torch.device) -> Any:
        loaded.append(device)
        raise UserError("loaded")

    monkeypatch.setattr(text_embeddings, "frozen_encoder", load)
    device = torch.device("meta")
    scorer = TrainedScorer(load_scorer(base), None, tmp_path / "embeddings" if kept else None, device=device)
    with pytest.raises(UserError, match="loaded"):
        scorer.table(["a text"])
    assert loaded == [device]
