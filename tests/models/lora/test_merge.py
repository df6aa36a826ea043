"""A merged base is the base with its LoRA, in files."""

from pathlib import Path

import pytest
import torch

from hydra_ray.errors import UserError
from hydra_ray.models.lora.decoder import Decoder, load_decoder
from hydra_ray.models.lora.merge import merge_lora
from hydra_ray.models.lora.shape import LoraShape, LoraWeights, stack
from hydra_ray.models.lora.stacked import StackedLora
from tests.models.lora.test_stacked import logits


def test_the_merged_folder_gives_the_same_logits(
    base: Decoder, shape: LoraShape, trained: LoraWeights, tmp_path: Path
) -> None:
    plain = logits(base)
    with StackedLora(base.model, shape, stack([trained])) as lora, lora.of_users(torch.zeros(4, dtype=torch.int64)):
        expected = logits(base)
    merged = load_decoder(merge_lora(base, shape, trained, tmp_path / "merged"))
    assert torch.allclose(logits(merged), expected, atol=1e-4)
    assert not torch.allclose(expected, plain, atol=1e-2)
    assert torch.equal(logits(base), plain)
    assert merged.digest != base.digest
    text = [{"role": "user", "content": "Tag:"}]
    assert merged.tokenizer.apply_chat_template(text) == base.tokenizer.apply_chat_template(text)
    assert [file.name for file in tmp_path.iterdir()] == ["merged"]


def test_a_folder_that_is_there(base: Decoder, shape: LoraShape, trained: LoraWeights, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is there already"):
        merge_lora(base, shape, trained, tmp_path)
