"""What a gateway imports."""

import subprocess
import sys

IMPORTED = """
import sys
import hydra_ray.serve.deployments.gateway, hydra_ray.serve.deployments.history_server
print(*{"torch", "transformers", "lance"} & set(sys.modules))
"""


def test_gateway_and_history_server_import_no_models_and_no_head_store() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
