"""A base that is trained in bf16 learns what one in fp32 does, up to bf16's three digits. Here on the CPU."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hydra_ray.config import ModelConfig
from hydra_ray.models.encoder import TextEncoder
from hydra_ray.models.losses import loss_sum
from hydra_ray.models.mixture import PRESENT, PROFILE
from hydra_ray.models.scorer import PairBatch, PairScorer
from tests.training.tiny import make_encoder

TEXTS = ["red text", "red thing", "sad thing"]
OF_LOSS, OF_GRADIENTS = 0.01, 0.05
"""The largest relative difference of the loss, and of all gradients together: bf16 rounds by up to 0.4 %, layer by
layer."""


@pytest.mark.parametrize(
    ("pair", "freeze", "head"),
    [
        ("cross_encoder", True, "linear"), ("cross_encoder", False, "dense"), ("cross_encoder", False, "mixture"),
        ("bi_encoder", True, "linear"), ("bi_encoder", False, "low_rank"), ("bi_encoder", True, "mixture"),
        ("concepts", True, "linear"), ("concepts", True, "mixture"),
    ],
)  # fmt: skip
def test_loss_and_gradients_in_bf16_are_those_of_fp32(tmp_path: Path, pair: str, freeze: bool, head: str) -> None:
    torch.manual_seed(0)
    encoder = make_encoder(tmp_path / "encoder")
    config = ModelConfig(encoder=str(encoder), pair=pair, freeze_encoder=freeze, head=head, pair_dim=8, max_tokens=32,
                         dropout=0.0)  # fmt: skip
    inside = TextEncoder(config) if pair == "cross_encoder" or not freeze else None
    exact = PairScorer(config, inside, 32, True, 1).eval()
    rough = copy.deepcopy(exact)
    rough.precision = "bf16"
    embeddings = torch.randn(3, 32)
    texts = TEXTS if inside else embeddings.unsqueeze(1) if pair == "concepts" else embeddings
    batch = PairBatch(torch.tensor([0]), torch.tensor([[1, 2]]), torch.tensor([[1.0, 0.0]]), torch.ones(1, 2),
                  torch.tensor([0]), torch.rand(1, 2, 1))  # fmt: skip
    profile = {PROFILE: torch.randn(1, 4, 32), PRESENT: torch.ones(1, 4)}

    def learned(scorer: PairScorer, inputs: list[str] | Tensor) -> tuple[Tensor, Tensor]:
        own = {name: value.requires_grad_() for name, value in scorer.head.zeros(1).items()}
        loss = loss_sum(scorer(inputs, batch, profile if head == "mixture" else own), batch.label, batch.mask)
        loss.backward()
        leaves = [*scorer.parameters(), *(own.values() if head != "mixture" else ())]
        found = [leaf.grad for leaf in leaves if leaf.grad is not None]
        assert {gradient.dtype for gradient in found} == {torch.float32}
        return loss.detach(), torch.cat([gradient.flatten() for gradient in found])

    loss, gradients = learned(exact, texts)
    other, roughly = learned(rough, texts.bfloat16() if isinstance(texts, Tensor) else texts)
    assert other.dtype == torch.float32
    assert torch.allclose(other, loss, rtol=OF_LOSS, atol=0)
    difference = float((roughly - gradients).norm() / gradients.norm())
    assert 0 < difference < OF_GRADIENTS
