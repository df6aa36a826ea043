"""Random encoder-decoders with the packaged words as tokens, as folders: a T5 of two layers, a BART of one."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from hydra_ray.tiny_llm.export import WEIGHTS


def write_t5(folder: Path, *, width: int = 32, layers: int = 2, seed: int = 0, **changes: Any) -> Path:
    """Writes model and tokenizer, without dropout; weights are large enough for attention to matter."""
    folder.mkdir(parents=True, exist_ok=True)
    words = Tokenizer.from_file(str(WEIGHTS / "tokenizer.json"))
    words.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="</s>", pad_token="<pad>", clean_up_tokenization_spaces=False
    ).save_pretrained(str(folder))
    config = T5Config(
        vocab_size=json.loads((WEIGHTS / "config.json").read_text())["vocab_size"],
        d_model=width,
        d_kv=width // 4,
        d_ff=2 * width,
        num_layers=layers,
        num_heads=4,
        **{
            "feed_forward_proj": "gated-gelu",  # as FlanT5's
            "tie_word_embeddings": False,
            "dropout_rate": 0.0,
            "initializer_factor": 1.0,
            "eos_token_id": 1,
            "pad_token_id": 2,
            "decoder_start_token_id": 2,
            **changes,
        },
    )
    torch.manual_seed(seed)
    model = T5ForConditionalGeneration(config)
    # As FlanT5's, which the configuration alone does not make: no embedding of a token is its own head.
    model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.shared.weight) * 0.5)
    model.save_pretrained(str(folder))
    return folder


def write_bart(folder: Path, longest: int) -> Path:
    """Writes model and tokenizer; positions are absolute, so that no input may be longer than `longest` tokens."""
    write_t5(folder)
    sides = {f"{side}_{name}": size for side in ("encoder", "decoder")
             for name, size in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 16))}  # fmt: skip
    words = json.loads((folder / "config.json").read_text())["vocab_size"]
    config = BartConfig(vocab_size=words, d_model=16, max_position_embeddings=longest, **sides)
    BartForConditionalGeneration(config).save_pretrained(str(folder))
    return folder
