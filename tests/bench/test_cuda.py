"""The CUDA bench on the CPU, small, in a process that cannot import Ray; on a device where there is one."""

import json
import subprocess
import sys

import pytest
import torch

from hydra_ray.bench import cuda

WITHOUT_RAY = """
import sys
sys.modules["ray"] = None
from hydra_ray.bench.cuda import main
main(["--device", "cpu"])
"""


def test_it_runs_without_ray_and_prints_one_object() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_RAY], capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert set(result["fit"]) == {"linear", "low_rank", "dense"}
    assert all(figure["users_per_s"] > 0 and figure["bandwidth_share"] > 0 for figure in result["fit"].values())
    heads = result["heads"]
    assert result["ratio"] == heads["ratio"] > 0
    assert result["resident_dense_heads"] == (1 << 20) // (4 * (16 * 16 + 16 + 16 * 2 + 2))
    for kind in ("linear", "low_rank", "dense"):
        for place in ("device", "host"):
            times = result["steps"][kind][place]
            assert {users: set(rows) for users, rows in times.items()} == {"10": {"16", "32"}, "40": {"16", "32"}}
            assert all(ms > 0 for rows in times.values() for ms in rows.values())
        assert result["steps"]["flat"][kind] >= 1
        assert result["score"][kind] > 0
        # The same device on both sides.
        assert result["difference"]["fit"][kind] == result["difference"]["score"][kind] == 0
    assert result["difference"]["encode"] == 0
    for model in ("minilm", "bert"):
        rates = result["encode"][model]
        assert rates["texts_per_s"] > 0
        assert rates["tokenised_per_s"] > 0
        assert rates["loop_share"] > 0


def test_bytes_are_counted_from_shapes() -> None:
    sizes = cuda.Sizes(8, 5, 3, {}, 0, 0, 0)
    linear = 8 * 2 + 2
    assert cuda.fit_bytes("linear", 7, sizes) == 3 * 4 * 7 * (2 * 5 * 8 + 11 * linear)
    assert cuda.step_bytes(768) == 5 * 64 * 592_130 * 4


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_no_device_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_code:
        cuda.main([])
    assert exit_code.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
