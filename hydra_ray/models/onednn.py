"""Linear layers of a frozen encoder through oneDNN, which PyTorch uses for fp32 only on request.

PyTorch multiplies fp32 matrices on x86 with MKL, which uses AVX2 at most on AMD's processors; oneDNN uses what is
there. On one core of an AMD EPYC with AVX-512, MKL reached 30 to 100 GFLOP/s at MiniLM's shapes and oneDNN 110 to 230,
which halves the encoder's time; sums are added in another order, so embeddings differ by rounding (1e-6).
"""

import platform

import torch
from torch import Tensor, nn

ROWS = 16
"""Rows are padded to a multiple of this. oneDNN compiles a kernel per number of rows and keeps 1,024 of them: 430 MB
after 1,200 calls with texts of all lengths, where this leaves 65 MB."""


class OneDNNLinear(nn.Module):
    """`nn.Linear` in inference: weights laid out once as oneDNN likes them. fp32, on a CPU."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self._bias = None if linear.bias is None else linear.bias.detach()
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        rows = x.reshape(-1, x.shape[-1])
        padded = nn.functional.pad(rows, (0, 0, 0, -len(rows) % ROWS))
        # The operator behind the compiled `nn.Linear` of `torch.compile` (freezing), without an activation.
        out: Tensor = torch.ops.mkldnn._linear_pointwise(padded, self._packed, self._bias, "none", [], "")
        return out[: len(rows)].reshape(*x.shape[:-1], -1)


def use_onednn(module: nn.Module) -> None:
    """Replaces every fp32 `nn.Linear` below `module` where this machine can; it cannot be trained or saved then."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not available or platform.machine() not in {"x86_64", "AMD64"}:
        return
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear):
            if child.weight.dtype == torch.float32 and child.weight.device.type == "cpu":
                setattr(module, name, OneDNNLinear(child))
        else:
            use_onednn(child)
