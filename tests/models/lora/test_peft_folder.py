"""PEFT's folder, written and read: by us, by peft, and with every kind of mistake in it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from hydra_ray.errors import UserError
from hydra_ray.models.lora.decoder import Decoder
from hydra_ray.models.lora.peft_folder import CONFIG, TENSORS, read_lora, write_lora
from hydra_ray.models.lora.shape import LoraShape, LoraWeights, shape_of, stack
from hydra_ray.models.lora.stacked import StackedLora
from tests.models.lora.small_llama import small_decoder
from tests.models.lora.test_stacked import IDS, logits

NO_PEFT = 'peft is not installed (pip install --no-deps "peft==0.21.2" accelerate)'


@pytest.fixture
def folder(base: Decoder, shape: LoraShape, trained: LoraWeights, tmp_path: Path) -> Path:
    return write_lora(tmp_path / "u@1", shape, trained, str(base.folder))


def test_what_is_written_is_read(base: Decoder, shape: LoraShape, trained: LoraWeights, folder: Path) -> None:
    found, weights = read_lora(folder, base.model)
    assert (found.rank, found.alpha, dict(found.layers)) == (8, 16, dict(shape.layers))
    assert weights.keys() == trained.keys()
    assert all(torch.equal(weights[name], trained[name]) for name in trained)


def test_peft_loads_it_with_the_same_logits(
    base: Decoder, shape: LoraShape, trained: LoraWeights, folder: Path, tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft", reason=NO_PEFT)
    with StackedLora(base.model, shape, stack([trained])) as lora, lora.of_users(torch.zeros(4, dtype=torch.int64)):
        ours = logits(base)
    theirs = peft.PeftModel.from_pretrained(small_decoder(tmp_path / "base").model, str(folder))
    with torch.no_grad():
        assert torch.allclose(theirs(input_ids=IDS).logits, ours, atol=1e-5)
    assert not torch.allclose(ours, logits(base), atol=1e-2)


def test_what_peft_saves_is_read(base: Decoder, trained: LoraWeights, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason=NO_PEFT)
    settings = peft.LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = peft.get_peft_model(small_decoder(tmp_path / "base").model, settings)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                own = name.removeprefix("base_model.model.").removesuffix(".default.weight")
                parameter.copy_(trained[own])
    model.save_pretrained(str(tmp_path / "saved"))
    shape, weights = read_lora(tmp_path / "saved", base.model)
    assert (shape.rank, shape.alpha) == (8, 16)
    assert all(torch.equal(weights[name], trained[name]) for name in trained)


def changed(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type is not LORA"),
        ({"use_dora": True}, "use_dora=True is more than plain LoRA"),
        ({"use_rslora": True}, "use_rslora=True is more than plain LoRA"),
        ({"bias": "all"}, "bias='all' is more than plain LoRA"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save="),
        ({"rank_pattern": {"q_proj": 4}}, "rank_pattern="),
        ({"r": 0}, "r is 0; give r and lora_alpha above zero"),
        ({"target_modules": "all-linear"}, "target_modules is 'all-linear'"),
        ({"target_modules": ["q_proj", "query"]}, "is of another base: it is on 'query', and this base has"),
        ({"target_modules": ["q_proj"]}, "which this base has no place for"),
        ({"target_modules": ["q_proj", "v_proj", "k_proj"]}, "has nothing for model.layers.0.self_attn.k_proj"),
        ({"r": 4}, r"is \[8, 32\], this base takes \[4, 32\]"),
    ],
)
def test_a_configuration_that_is_another_thing(
    base: Decoder, folder: Path, changes: dict[str, Any], message: str
) -> None:
    changed(folder, **changes)
    with pytest.raises(UserError, match=message) as raised:
        read_lora(folder, base.model)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("other", [{"width": 64}, {"layers": 1}, {"layers": 3}])
def test_another_base(folder: Path, tmp_path: Path, other: dict[str, int]) -> None:
    with pytest.raises(UserError, match="another base"):
        read_lora(folder, small_decoder(tmp_path / "other", **other).model)


def test_missing_files(base: Decoder, folder: Path, tmp_path: Path) -> None:
    (folder / TENSORS).unlink()
    with pytest.raises(UserError, match=f"{TENSORS} is missing"):
        read_lora(folder, base.model)
    (folder / CONFIG).unlink()
    with pytest.raises(UserError, match=f"{CONFIG} is missing"):
        read_lora(folder, base.model)


def test_damaged_files(base: Decoder, folder: Path) -> None:
    whole = (folder / TENSORS).read_bytes()
    for broken in (whole[:-10], b"", b"\xff" * 100):
        (folder / TENSORS).write_bytes(broken)
        with pytest.raises(UserError, match="is damaged") as raised:
            read_lora(folder, base.model)
        assert "\n" not in str(raised.value)
    for text in ("{", "[]", "\xff"):
        (folder / CONFIG).write_bytes(text.encode("latin-1"))
        with pytest.raises(UserError, match=CONFIG):
            read_lora(folder, base.model)


def test_nan(base: Decoder, folder: Path) -> None:
    tensors = load_file(folder / TENSORS)
    name = min(tensors)
    tensors[name][0, 0] = float("nan")
    save_file(tensors, folder / TENSORS)
    with pytest.raises(UserError, match="holds NaN or infinity"):
        read_lora(folder, base.model)


def test_targets_of_all_layers_and_a_broken_alpha(base: Decoder, tmp_path: Path) -> None:
    shape = shape_of(base.model, 2, 0.5, ("down_proj", "gate_proj", "o_proj"))
    write_lora(tmp_path, shape, shape.initial(0, "u"), "base")
    assert read_lora(tmp_path, base.model)[0].alpha == 0.5
