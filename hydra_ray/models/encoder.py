"""The text encoder: any Hugging Face encoder, one embedding per text."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hydra_ray.config import ModelConfig
from hydra_ray.errors import UserError
from hydra_ray.models.encoder_source import MINILM, encoder_path
from hydra_ray.models.model_folder import no_progress_bars, reason_of
from hydra_ray.models.onednn import use_onednn
from hydra_ray.models.token_table import TokenTable
from hydra_ray.utils.cpu import Precision
from hydra_ray.utils.device import CPU, halved_once

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
"""The files that hold an encoder's weights."""

TOKENS = 1024
"""Tokens of a batch on a CPU, padding included: more does not make a core faster, its caches overflow instead."""
DEVICE_TOKENS = 65_536
"""Tokens of a batch on an accelerator: 512 texts of 128 tokens."""
AT_ONCE = 16_384
"""Embeddings that wait on a device before they are copied from there: 25 MB at 384 numbers."""


class TextEncoder(nn.Module):
    """Tokeniser, encoder and pooling in one. `width` is D.

    Raises UserError if the weights are not to be had.

    Attributes:
        autocast: Whether `encode_texts` computes in bfloat16 what an accelerator may, with weights in fp32.
    """

    def __init__(self, config: ModelConfig, precision: Precision = "fp32") -> None:
        """precision: of weights and arithmetic; an encoder that is trained needs fp32."""
        # Here and below: transformers takes 0.7 s to import, and workers that read kept embeddings need none of it.
        from transformers import AutoModel

        super().__init__()
        source = encoder_path(config.encoder)
        local = Path(source).exists()
        self.tokenizer = load_tokenizer(config)
        try:
            with no_progress_bars() if local else nullcontext():  # a download shows how far it is
                self.model = AutoModel.from_pretrained(source, local_files_only=local, dtype=DTYPES[precision])
        except (OSError, ValueError) as error:
            raise _not_loaded(config, error) from None
        check_reads(self.model, config)
        self.pooling = config.pooling
        self.max_tokens = config.max_tokens
        self.width = int(self.model.config.hidden_size)
        self.autocast = False

    def tokens(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Tokenised, truncated and padded texts, or text pairs (longest first to be cut)."""
        return self.padded(self.token_table(texts, pairs), range(len(texts)))

    def token_table(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> TokenTable:
        """What `tokens` tokenises, not padded."""
        return tokenize(self.tokenizer, self.max_tokens, texts, pairs)

    def padded(self, table: TokenTable, index: Sequence[int]) -> dict[str, Tensor]:
        """Some texts of a table as one batch, int64 [len(index), longest]."""
        padding = {"input_ids": self.tokenizer.pad_token_id, "token_type_ids": self.tokenizer.pad_token_type_id}
        return table.padded(index, padding)

    def forward(self, tokens: dict[str, Tensor]) -> Tensor:
        """float32 [n, D]."""
        # The copy waits for nothing that the device is still computing.
        inputs = {key: value.to(self.model.device, non_blocking=True) for key, value in tokens.items()}
        if self.model.config.model_type == "longformer":
            attention = torch.zeros_like(inputs["input_ids"])
            attention[:, 0] = 1
            inputs["global_attention_mask"] = attention
        hidden = self.model(**inputs).last_hidden_state
        if self.pooling == "cls":
            first: Tensor = hidden[:, 0].float()
            return first
        hidden, mask = hidden.float(), inputs["attention_mask"].unsqueeze(-1).float()
        mean: Tensor = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
        return mean


def load_tokenizer(config: ModelConfig) -> Any:
    """The encoder's tokenizer without its weights. Raises UserError if it is not to be had, or cannot pad."""
    from transformers import AutoTokenizer

    source = encoder_path(config.encoder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=Path(source).exists())
    except (OSError, ValueError) as error:
        raise _not_loaded(config, error) from None
    use_padding(tokenizer, config.encoder)
    return tokenizer


def tokenize(tokenizer: Any, max_tokens: int, texts: Sequence[str], pairs: Sequence[str] | None = None) -> TokenTable:
    """Tokenised and truncated texts, at least one, or text pairs.

    A tokenizer that adds nothing of its own leaves an empty text without any token: it becomes one padding token, which
    the mean leaves out.
    """
    right = None if pairs is None else [readable(text) for text in pairs]
    encoded = tokenizer([readable(text) for text in texts], right, truncation=True, max_length=max_tokens)
    nothing = {"input_ids": tokenizer.pad_token_id}
    return TokenTable.from_lists(
        {name: [one or [nothing.get(name, 0)] for one in lists] for name, lists in encoded.items()}
    )


def readable(text: str) -> str:
    """The text as tokenizers take it: a surrogate without its other half becomes "?"."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def readable_tokens(model: nn.Module) -> int | None:
    """The longest input of a model in tokens, None where nothing bounds it.

    Models of RoBERTa's family count positions from behind the padding token's, so that the first ones go unused.
    """
    positions = getattr(model.config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions < 1:
        return None
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding) and module.padding_idx is not None:
            return positions - module.padding_idx - 1
    return positions


def check_reads(model: nn.Module, config: ModelConfig) -> None:
    """Raises UserError if the model cannot read `model.max_tokens`."""
    longest = readable_tokens(model)
    if longest is not None and longest < config.max_tokens:
        raise UserError(
            f"model.max_tokens={config.max_tokens}: {config.encoder} reads {longest} tokens at most: set "
            f"model.max_tokens={longest} or less"
        )


def use_padding(tokenizer: Any, encoder: str) -> None:
    """Batches are padded on the right; a tokenizer without a padding token pads with its end token, which is masked.

    Raises UserError if it has neither.
    """
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token is None:
        raise UserError(f"model.encoder={encoder}: its tokenizer has neither a padding token nor one to pad with: give "
                        "it a pad_token in tokenizer_config.json")  # fmt: skip


def check_encoder(config: ModelConfig) -> str:
    """Finds out, without loading any weights, whether `model.encoder` can be used as `model` says; one line about it.

    Raises UserError: it cannot be loaded, it reads fewer than `model.max_tokens` tokens, it cannot pad.
    """
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    source = encoder_path(config.encoder)
    local = Path(source).exists()
    try:
        use_padding(AutoTokenizer.from_pretrained(source, local_files_only=local), config.encoder)
        shape = AutoConfig.from_pretrained(source, local_files_only=local)
        with torch.device("meta"):
            model = AutoModel.from_config(shape)
    except (OSError, ValueError, RuntimeError) as error:
        raise _not_loaded(config, error) from None
    if local and not any(file for pattern in WEIGHTS for file in Path(source).glob(pattern)):
        raise UserError(f"model.encoder={config.encoder}: holds no weights ({' or '.join(WEIGHTS)})")
    check_reads(model, config)
    longest = readable_tokens(model)
    reads = "texts of any length" if longest is None else f"{longest} tokens"
    return f"{config.encoder} ({shape.model_type}) reads {reads}, model.max_tokens={config.max_tokens}"


def _not_loaded(config: ModelConfig, error: Exception) -> UserError:
    reason = str(error).splitlines()[0]
    return UserError(
        f"model.encoder={config.encoder}: cannot be loaded ({reason}); give a folder with its weights, a reachable hub "
        f"id, or `{MINILM}`"
    )


def frozen_encoder(config: ModelConfig, device: torch.device = CPU, compiled: bool = False) -> TextEncoder:
    """The encoder as it makes embeddings that are kept: in eval mode, on a device, at `model.precision`.

    bf16 is autocast on an accelerator, and the weights' own format on a CPU.

    Args:
        config: Which encoder.
        device: Where it computes.
        compiled: Whether an accelerator's is compiled for it first (`compile_encoder`).

    Raises:
        UserError: As `TextEncoder`, or it cannot be compiled.
    """
    if device.type == "cpu":
        encoder = TextEncoder(config, config.precision).eval()
        use_onednn(encoder)
        return encoder
    encoder = TextEncoder(config).to(device).eval()
    encoder.autocast = config.precision == "bf16"
    if compiled:
        compile_encoder(encoder)
    return encoder


def compile_encoder(encoder: TextEncoder) -> None:
    """Compiles the model for batches of any shape (`torch.compile`), and encodes two texts with it.

    Raises UserError where that fails, as without a compiler of the device's kernels.
    """
    encoder.model.compile(dynamic=True)
    try:
        encode_texts(encoder, ["one", "two texts of other lengths"], tokens=1)
    except UserError:
        raise
    except Exception as error:
        reason = reason_of(error)
        raise UserError(
            f"resources.encode.compile: torch.compile cannot compile the encoder on {encoder.model.device} ({reason}): "
            "set it to false"
        ) from None


def encode_texts(
    encoder: TextEncoder, texts: Sequence[str], pairs: Sequence[str] | None = None, tokens: int | None = None
) -> NDArray[np.float32]:
    """float32 [len(texts), D], in the order given, of texts or of text pairs. Tokenised once; see `encode_table`."""
    if not len(texts):
        return np.zeros((0, encoder.width), dtype=np.float32)
    return encode_table(encoder, encoder.token_table(texts, pairs), tokens)


@torch.inference_mode()
def encode_table(encoder: TextEncoder, table: TokenTable, tokens: int | None = None) -> NDArray[np.float32]:
    """The embeddings of tokenised texts, float32 [len(table), D], in the order given.

    Sorted by tokens and cut into batches of at most `tokens` tokens, so that little is padded. An accelerator computes
    one batch while the next is padded; embeddings come back many batches at a time.

    Args:
        encoder: Put into eval mode.
        table: The texts.
        tokens: Of a batch; None: TOKENS on a CPU, DEVICE_TOKENS elsewhere.

    Raises:
        UserError: A batch does not fit the device's memory, nor does half of it.
    """
    if encoder.training:  # walking through all modules costs as much as a layer does
        encoder.eval()
    out = np.zeros((len(table), encoder.width), dtype=np.float32)
    device = encoder.model.device
    if tokens is None:
        tokens = TOKENS if device.type == "cpu" else DEVICE_TOKENS

    def forward(index: Sequence[int]) -> list[Tensor]:
        with torch.autocast(device.type, torch.bfloat16, enabled=encoder.autocast):
            return [encoder(encoder.padded(table, index))]

    lengths = table.lengths.tolist()
    places: list[int] = []
    found: list[Tensor] = []
    for index in batches_by_length(lengths, tokens):
        # The longest text of a batch is its last one.
        advice = (
            f"texts of at most {lengths[index[-1]]} tokens: lower model.max_tokens, or take a smaller model.encoder"
        )
        found += halved_once(forward, index, device, advice)
        places += index
        if len(places) >= AT_ONCE:
            out[places] = torch.cat(found).cpu().numpy()
            places, found = [], []
    if places:
        out[places] = torch.cat(found).cpu().numpy()
    return out


def batches_by_length(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Every index once, shortest first, in batches whose padded size (rows times longest) is at most `tokens`.

    A row longer than that is a batch of its own.
    """
    found: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if found and (len(found[-1]) + 1) * lengths[i] <= tokens:
            found[-1].append(i)
        else:
            found.append([i])
    return found
