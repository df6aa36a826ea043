"""Which tables are measured."""

from dataclasses import replace

import pytest
import torch

from hydra_ray.bench import cuda_steps


@pytest.mark.parametrize(("free", "sizes"), [(10**12, [10, 40]), (20_000, [10]), (0, [])])
def test_only_tables_that_fit_are_measured(free: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_steps, "free_memory", lambda *_: free)
    device = torch.device("meta")
    assert cuda_steps.table_sizes("linear", "device", cuda_steps.SMALL, device) == sizes
    most = cuda_steps.table_sizes("linear", "device", replace(cuda_steps.SMALL, most=True), device)
    assert most[: len(sizes)] == sizes
    assert len(most) == len(sizes) + (free > 0)
