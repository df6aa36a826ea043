from pathlib import Path

import numpy as np
import pytest

from hydra_ray.config import ModelConfig
from hydra_ray.cpu import fastest_precision
from hydra_ray.models.encoder import TextEncoder, batches_by_length, encode_texts
from hydra_ray.models.vector_cache import CachedEncoder

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


def test_pairs_are_read_together(encoder: TextEncoder) -> None:
    left, right = ["a dog", "a dog"], ["barks", "sleeps in the sun all day long"]
    found = encode_texts(encoder, left, right)
    expected = encoder(encoder.tokens(left, right)).detach().numpy()
    assert np.allclose(found, expected, atol=1e-5)
    assert not np.allclose(found[0], encode_texts(encoder, left)[0], atol=1e-2)


def test_bf16_vectors_point_the_same_way_and_are_kept_apart(encoder: TextEncoder, tmp_path: Path) -> None:
    exact = CachedEncoder(ModelConfig(precision="fp32"), tmp_path, encoder)(TEXTS)
    rough = CachedEncoder(ModelConfig(precision="bf16"), tmp_path)(TEXTS)
    assert rough.dtype == np.float32
    cosine = (exact * rough).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rough, axis=1)
    assert cosine.min() > 0.999
    assert not np.array_equal(exact, rough)
    assert len(list(tmp_path.glob("*.sqlite"))) == 2


def test_bf16_only_where_the_processor_has_it(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    for flags, expected in (
        ("fpu avx2", "fp32"),
        ("fpu avx512f avx512_bf16", "bf16"),
        ("amx_tile amx_bf16", "bf16"),
    ):
        cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
        assert fastest_precision(cpuinfo) == expected
    assert fastest_precision(tmp_path / "none") == "fp32"
