"""DeepSpeed holds all weights in bf16 on a GPU; every kind of scorer must run so. Here on the CPU."""

from pathlib import Path

import pytest
import torch

from hydra_ray.config import ModelConfig
from hydra_ray.models.encoder import TextEncoder
from hydra_ray.models.mixture import PRESENT, PROFILE
from hydra_ray.models.scorer import PairBatch, PairScorer
from tests.training.tiny import make_encoder

TEXTS = ["red text", "red thing", "sad thing"]


@pytest.mark.parametrize(
    ("pair", "freeze", "head"),
    [
        ("cross_encoder", True, "linear"), ("cross_encoder", False, "dense"), ("cross_encoder", False, "mixture"),
        ("bi_encoder", True, "linear"), ("bi_encoder", False, "low_rank"), ("bi_encoder", True, "mixture"),
        ("concepts", True, "linear"), ("concepts", True, "mixture"),
    ],
)  # fmt: skip
def test_a_scorer_learns_in_bf16(tmp_path: Path, pair: str, freeze: bool, head: str) -> None:
    encoder = make_encoder(tmp_path / "encoder")
    config = ModelConfig(encoder=str(encoder), pair=pair, freeze_encoder=freeze, head=head, pair_dim=8, max_tokens=32)  # type: ignore[arg-type]
    inside = TextEncoder(config) if pair == "cross_encoder" or not freeze else None
    scorer = PairScorer(config, inside, 32, True, 1).bfloat16()
    vectors = torch.randn(3, 32, dtype=torch.bfloat16)
    texts = TEXTS if inside else vectors.unsqueeze(1) if pair == "concepts" else vectors
    batch = PairBatch(torch.tensor([0]), torch.tensor([[1, 2]]), torch.tensor([[1.0, 0.0]]), torch.ones(1, 2),
                  torch.tensor([0]), torch.rand(1, 2, 1))  # fmt: skip
    if head == "mixture":
        deltas = {PROFILE: torch.randn(1, 4, 32), PRESENT: torch.ones(1, 4)}
    else:
        deltas = {name: value.requires_grad_() for name, value in scorer.head.zeros(1).items()}
    logits = scorer(texts, batch, deltas)
    assert logits.shape == (1, 2, 2)
    logits.float().square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in scorer.head.parameters() if p.grad is not None)
