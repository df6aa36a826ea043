import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_a_real_cluster_is_looked_at(cluster: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hydra_ray.cli", "doctor", "--address", cluster, f"root={tmp_path}",
               "llm.base_url=http://127.0.0.1:9/v1"]  # fmt: skip
    found = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert found.returncode == 2, found.stdout + found.stderr
    node, *wrong = found.stdout.splitlines()
    assert node.endswith(" free under root")
    assert len(wrong) == 1
    assert "llm.base_url=http://127.0.0.1:9/v1: does not answer (Connection refused)" in wrong[0]
    assert not list(tmp_path.iterdir())
