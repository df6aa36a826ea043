import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_a_real_cluster_is_looked_at(cluster: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hydra_ray.cli", "doctor", "--address", cluster]
    whole = subprocess.run([*command, f"root={tmp_path}"], capture_output=True, text=True, timeout=200, check=False)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert " free under root\nnothing is wrong on 1 node\n" in whole.stdout
    assert not list(tmp_path.iterdir())
    closed = subprocess.run(
        [*command, "llm.base_url=http://127.0.0.1:9/v1"], capture_output=True, text=True, timeout=200, check=False
    )
    assert closed.returncode == 2
    assert "llm.base_url=http://127.0.0.1:9/v1: does not answer (Connection refused)" in closed.stdout
