from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

from hydra_ray.config import ModelConfig
from hydra_ray.errors import UserError
from hydra_ray.models import encoder as subject
from hydra_ray.models.encoder import (
    TextEncoder,
    batches_by_length,
    check_encoder,
    compile_encoder,
    encode_table,
    encode_texts,
    frozen_encoder,
)
from hydra_ray.models.token_table import TokenTable

TEXTS = [
    "a dog",
    "",
    "The committee will meet again on Thursday to settle the budget.",
    "rain " * 300,
    "a cat",
    "a dog",
]


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder(ModelConfig())


def test_batches_hold_every_row_once_within_the_tokens() -> None:
    lengths = [5, 1, 9, 3, 3, 40, 2]
    found = batches_by_length(lengths, 12)
    assert sorted(i for batch in found for i in batch) == list(range(7))
    assert all(len(batch) * max(lengths[i] for i in batch) <= 12 for batch in found[:-1])
    assert found[-1] == [5]  # longer than a batch may be: alone
    assert batches_by_length([], 12) == []


def test_a_text_is_encoded_as_if_alone_wherever_it_stands(encoder: TextEncoder) -> None:
    together = encode_texts(encoder, TEXTS, tokens=64)
    alone = np.concatenate([encode_texts(encoder, [text]) for text in TEXTS])
    assert np.allclose(together, alone, atol=1e-5)
    assert np.allclose(together[0], together[5], atol=1e-6)
    assert encode_texts(encoder, []).shape == (0, encoder.width)


def test_embeddings_that_come_back_in_parts_are_the_same(encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encode_texts(encoder, TEXTS, tokens=64)
    monkeypatch.setattr(subject, "AT_ONCE", 2)
    assert np.array_equal(encode_texts(encoder, TEXTS, tokens=64), whole)


def test_pairs_are_read_together(encoder: TextEncoder) -> None:
    left, right = ["a dog", "a dog"], ["barks", "sleeps in the sun all day long"]
    found = encode_texts(encoder, left, right)
    expected = encoder(encoder.tokens(left, right)).detach().numpy()
    assert np.allclose(found, expected, atol=1e-5)
    assert not np.allclose(found[0], encode_texts(encoder, left)[0], atol=1e-2)


def make_encoder(folder: Path, kind: str, **special: str) -> str:
    """A random encoder of a few thousand weights with 66 positions; returns its folder."""
    words = ["<s>", "<pad>", "</s>", "<unk>", *(f"w{i}" for i in range(20))]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    size = {"vocab_size": len(words), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    if kind == "gpt2":
        size = {"vocab_size": len(words), "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 66}
    else:
        size |= {"intermediate_size": 32, "max_position_embeddings": 66, "pad_token_id": 1}
    AutoModel.from_config(AutoConfig.for_model(kind, **size)).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(("kind", "reads"), [("roberta", 64), ("bert", 66), ("gpt2", 66)])
def test_an_encoder_reads_its_positions_less_those_behind_the_padding_token(tmp_path, kind: str, reads: int) -> None:
    folder = make_encoder(tmp_path, kind, pad_token="<pad>", unk_token="<unk>")
    fits = ModelConfig(encoder=folder, max_tokens=reads)
    assert f"({kind}) reads {reads} tokens" in check_encoder(fits)
    assert np.isfinite(encode_texts(TextEncoder(fits), ["w1 " * 200, "w2"])).all()
    too_long = ModelConfig(encoder=folder, max_tokens=reads + 1)
    for check in (check_encoder, TextEncoder):
        with pytest.raises(UserError, match=rf"model\.max_tokens={reads + 1}: .* reads {reads} tokens at most"):
            check(too_long)


def test_an_encoder_without_a_padding_token_pads_with_its_end(tmp_path: Path) -> None:
    config = ModelConfig(encoder=make_encoder(tmp_path / "end", "gpt2", eos_token="</s>", unk_token="<unk>"))
    config = config.model_copy(update={"max_tokens": 16})
    check_encoder(config)
    encoder = TextEncoder(config)
    together = encode_texts(encoder, ["w1 w2 w3 w4", "w5", ""])
    alone = np.concatenate([encode_texts(encoder, [text]) for text in ["w1 w2 w3 w4", "w5", ""]])
    assert np.allclose(together, alone, atol=1e-5)
    assert not together[2].any()
    none = config.model_copy(update={"encoder": make_encoder(tmp_path / "none", "gpt2")})
    with pytest.raises(UserError, match="neither a padding token nor one to pad with"):
        check_encoder(none)


def test_an_encoder_that_is_not_there_or_has_no_weights(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be loaded"):
        check_encoder(ModelConfig(encoder=str(tmp_path)))
    folder = make_encoder(tmp_path / "bert", "bert", pad_token="<pad>", unk_token="<unk>")
    (tmp_path / "bert" / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"holds no weights \(\*\.safetensors or"):
        check_encoder(ModelConfig(encoder=folder, max_tokens=16))


def test_weights_are_read_without_a_bar(capfd: pytest.CaptureFixture[str]) -> None:
    TextEncoder(ModelConfig())
    assert capfd.readouterr() == ("", "")


def test_bf16_embeddings_point_the_same_way(encoder: TextEncoder) -> None:
    exact = encode_texts(frozen_encoder(ModelConfig(precision="fp32")), TEXTS)
    rough = encode_texts(frozen_encoder(ModelConfig(precision="bf16")), TEXTS)
    assert rough.dtype == np.float32
    cosine = (exact * rough).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rough, axis=1)
    assert cosine.min() > 0.999
    assert not np.array_equal(exact, rough)
    assert np.allclose(exact, encode_texts(encoder, TEXTS), atol=1e-5)


class SmallDevice:
    """An encoder whose device has no room for more than `most` texts at a time; embeds a text as its first token."""

    training, autocast, width = False, False, 1
    model = SimpleNamespace(device=torch.device("cpu"))

    def __init__(self, most: int) -> None:
        self.most = most
        self.sizes: list[int] = []

    def padded(self, table: TokenTable, index: Sequence[int]) -> torch.Tensor:
        return table.padded(index, {})["input_ids"][:, :1].float()

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(batch))
        if len(batch) > self.most:
            raise torch.OutOfMemoryError("no room")
        return batch


def test_a_batch_that_does_not_fit_is_halved_once() -> None:
    table = TokenTable.from_lists({"input_ids": [[i] for i in range(7)]})
    small = SmallDevice(4)
    assert encode_table(small, table)[:, 0].tolist() == list(range(7))  # type: ignore[arg-type]
    assert small.sizes == [7, 4, 3]
    with pytest.raises(UserError) as error:
        encode_table(SmallDevice(3), table)  # type: ignore[arg-type]
    assert str(error.value) == (
        "out of memory on cpu with 4 at once, half of a batch of 7: texts of at most 1 tokens: lower model.max_tokens, "
        "or take a smaller model.encoder"
    )


def small_encoder(folder: Path) -> TextEncoder:
    name = make_encoder(folder / "encoder", "bert", pad_token="<pad>", unk_token="<unk>")
    return TextEncoder(ModelConfig(encoder=name, max_tokens=16)).eval()


def test_the_model_is_compiled_once_for_batches_of_any_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording stand-in for `torch.compile`, which hands back what it was given."""
    encoder = small_encoder(tmp_path)
    expected = encode_texts(encoder, ["a", "b c"])
    asked: list[dict[str, object]] = []

    def compiled(call: Callable[..., object], **options: object) -> Callable[..., object]:
        asked.append(options)
        return call

    monkeypatch.setattr(torch, "compile", compiled)
    compile_encoder(encoder)
    assert np.array_equal(encode_texts(encoder, ["a", "b c"]), expected)
    assert asked == [{"dynamic": True}]


def test_an_encoder_that_cannot_be_compiled_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = small_encoder(tmp_path)

    def compiled(call: Callable[..., object], **options: object) -> Callable[..., object]:
        def fail(*args: object, **kwargs: object) -> None:
            raise RuntimeError("no compiler found\nand much more")

        return fail

    monkeypatch.setattr(torch, "compile", compiled)
    with pytest.raises(UserError) as error:
        compile_encoder(encoder)
    assert str(error.value) == (
        "resources.encode.compile: torch.compile cannot compile the encoder on cpu (no compiler found): set it to false"
    )


@pytest.mark.parametrize("wanted", [False, True])
def test_only_a_devices_encoder_is_compiled(wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """`meta` stands for the device."""
    compiled: list[str] = []
    monkeypatch.setattr(subject, "compile_encoder", lambda encoder: compiled.append(encoder.model.device.type))
    frozen_encoder(ModelConfig(), compiled=wanted)
    frozen_encoder(ModelConfig(), torch.device("meta"), compiled=wanted)
    assert compiled == ["meta"] * wanted
