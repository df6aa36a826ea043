"""Texts of the bench."""

import torch

from hydra_ray.bench import cuda_encode
from hydra_ray.config import ModelConfig
from hydra_ray.models.encoder import TextEncoder


def test_a_loops_batch_has_no_padding_and_texts_are_the_same_every_time() -> None:
    encoder = TextEncoder(ModelConfig(max_tokens=16))
    batch = cuda_encode.full_batch(encoder, cuda_encode.SMALL, torch.device("cpu"))
    assert batch["input_ids"].shape == (256 // 16, 16)
    assert bool(batch["attention_mask"].all())
    assert cuda_encode.make_texts(3) == cuda_encode.make_texts(4)[:3]
