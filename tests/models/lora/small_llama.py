"""A random Llama of two layers with the packaged tokenizer, as a folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from hydra_ray.models.lora.decoder import Decoder, load_decoder
from hydra_ray.tiny_llm.export import WEIGHTS


def write_llama(folder: Path, *, width: int = 32, layers: int = 2, seed: int = 0, **changes: Any) -> Path:
    """Writes model and tokenizer; weights are large enough for attention to matter."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(WEIGHTS / name, folder / name)
    settings: dict[str, Any] = {"tie_word_embeddings": True, **changes}
    config = LlamaConfig(
        vocab_size=json.loads((WEIGHTS / "config.json").read_text())["vocab_size"],
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
        **settings,
    )
    torch.manual_seed(seed)
    LlamaForCausalLM(config).save_pretrained(str(folder))
    return folder


def small_decoder(folder: Path, **changes: Any) -> Decoder:
    """The same, loaded."""
    return load_decoder(write_llama(folder, **changes))
