"""oneDNN's linear layers say what PyTorch's own say."""

import platform

import torch
from torch import nn

from hydra_ray.models.onednn import OneDNNLinear, use_onednn


def test_the_same_but_for_rounding() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(24, 40), nn.GELU(), nn.Sequential(nn.Linear(40, 8, bias=False)))
    x = torch.randn(5, 7, 24)
    with torch.inference_mode():
        before = module(x)
        use_onednn(module)
        for rows in (1, 5):
            assert torch.allclose(module(x[:rows]), before[:rows], atol=1e-6)


def test_only_fp32_is_replaced() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4).to(torch.bfloat16))
    use_onednn(module)
    assert isinstance(module[1], nn.Linear)
    if torch.backends.mkldnn.is_available() and platform.machine() in {"x86_64", "AMD64"}:
        assert isinstance(module[0], OneDNNLinear)
