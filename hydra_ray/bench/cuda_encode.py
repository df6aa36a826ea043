"""Part of `hydra_ray.bench.cuda`: texts encoded per second, against what the device could do.

`loop` is the same model on one full batch that lies on the device, over and over: nothing is tokenised, padded, copied
or sorted. Texts have 4 to 100 words; a loop's rows have `model.max_tokens` tokens. Both are compared in tokens.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers import BertConfig, BertModel

from hydra_ray.bench.timing import interleaved
from hydra_ray.config import ModelConfig
from hydra_ray.errors import UserError
from hydra_ray.models.encoder import DEVICE_TOKENS, TextEncoder, compile_encoder, encode_table, encode_texts
from hydra_ray.models.token_table import TokenTable
from hydra_ray.utils.device import release_memory

WORDS = [
    "rain",
    "harbour",
    "budget",
    "the",
    "of",
    "quiet",
    "and",
    "market",
    "storm",
    "letter",
    "was",
    "by",
    "in",
    "school",
    "river",
    "late",
    "new",
    "old",
]


@dataclass(frozen=True, slots=True)
class EncodeSizes:
    """What is measured.

    Attributes:
        texts: Encoded at once.
        tokens: Of the loop's batch.
        bert: The random model, with MiniLM's vocabulary.
        matmul: Rows and columns of the square bf16 product.
        repeats: Timed calls.
    """

    texts: int
    tokens: int
    bert: BertConfig
    matmul: int
    repeats: int


LARGE = EncodeSizes(32_768, DEVICE_TOKENS, BertConfig(), 8192, 3)
"""BERT base: 110 million parameters."""
SMALL = EncodeSizes(
    16, 256, BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64), 64, 1
)


def encode_rates(sizes: EncodeSizes, device: torch.device) -> dict[str, Any]:
    """The figures, as medians; bf16 on an accelerator.

    Returns:
        `matmul_tflops`; for `minilm` and `bert` see `_measure`.
    """
    matmul = matmul_rate(sizes, device)
    minilm = TextEncoder(ModelConfig())
    bert = TextEncoder(ModelConfig())
    bert.model, bert.width = BertModel(sizes.bert), int(sizes.bert.hidden_size)
    found: dict[str, Any] = {"matmul_tflops": float(f"{matmul / 1e12:.3g}")}
    for name, encoder in (("minilm", minilm), ("bert", bert)):
        encoder = encoder.to(device).eval()
        encoder.autocast = device.type != "cpu"
        found[name] = _measure(encoder, sizes, device, matmul)
        release_memory(device)
    return found


def matmul_rate(sizes: EncodeSizes, device: torch.device) -> float:
    """Operations per second of a square product in bf16."""
    one = torch.randn(sizes.matmul, sizes.matmul, device=device).bfloat16()
    spent = interleaved({"matmul": partial(torch.matmul, one, one)}, sizes.repeats, device)["matmul"]
    return 2.0 * sizes.matmul**3 / spent


def _measure(encoder: TextEncoder, sizes: EncodeSizes, device: torch.device, matmul: float) -> dict[str, Any]:
    """texts_per_s: with tokenising, on one thread of this process. tokenised_per_s: of texts tokenised before, as an
    encode worker gets them; compiled_per_s: the same, compiled. loop_share: tokens a second of the latter over those of
    the loop. matmul_share: multiplications of its weights over those of the square product."""
    texts = make_texts(sizes.texts)
    table = encoder.token_table(texts)
    full = full_batch(encoder, sizes, device)
    ways: dict[str, Callable[[], object]] = {
        "texts": partial(encode_texts, encoder, texts),
        "tokenised": partial(encode_table, encoder, table),
        "loop": partial(_forward, encoder, full),
    }
    spent = interleaved(ways, sizes.repeats, device)
    tokens = int(table.starts[-1])
    of_loop = full["input_ids"].numel() / spent["loop"]
    weights = sum(p.numel() for p in encoder.model.encoder.parameters())
    return {
        "texts": len(texts),
        "tokens_per_text": round(tokens / len(texts), 1),
        "texts_per_s": round(len(texts) / spent["texts"], 1),
        "tokenised_per_s": round(len(texts) / spent["tokenised"], 1),
        "loop_share": float(f"{tokens / spent['tokenised'] / of_loop:.3g}"),
        "matmul_share": float(f"{2.0 * weights * tokens / spent['tokenised'] / matmul:.3g}"),
        **_compiled(encoder, table, sizes, device),
    }


def _compiled(encoder: TextEncoder, table: TokenTable, sizes: EncodeSizes, device: torch.device) -> dict[str, Any]:
    if device.type == "cpu":
        return {}
    try:
        compile_encoder(encoder)
    except UserError as error:
        return {"compiled": str(error)}
    spent = interleaved({"compiled": partial(encode_table, encoder, table)}, sizes.repeats, device)["compiled"]
    return {"compiled_per_s": round(len(table) / spent, 1)}


def make_texts(count: int) -> list[str]:
    """Made-up texts of 4 to 100 words, the same ones every time."""
    draw = random.Random(0)
    return [" ".join(draw.choices(WORDS, k=draw.randint(4, 100))) for _ in range(count)]


def full_batch(encoder: TextEncoder, sizes: EncodeSizes, device: torch.device) -> dict[str, torch.Tensor]:
    """A batch without padding, on the device."""
    rows = max(1, sizes.tokens // encoder.max_tokens)
    batch = encoder.tokens(["rain " * 2 * encoder.max_tokens] * rows)
    return {name: value.to(device) for name, value in batch.items()}


@torch.inference_mode()
def _forward(encoder: TextEncoder, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.autocast(encoder.model.device.type, torch.bfloat16, enabled=encoder.autocast):
        found: torch.Tensor = encoder(batch)
    return found
