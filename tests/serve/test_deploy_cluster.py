"""`hydra-ray deploy` on a real cluster: the black box from a file, another port, a file that cannot start."""

import json
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hydra_ray.cli import main
from hydra_ray.config import LLMConfig
from hydra_ray.llm.serving import build_llm, deployment_names
from hydra_ray.tcp import free_port

from ..llm.tiny_model import make_tiny_model

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def dashboard() -> Iterator[str]:
    """A cluster's dashboard address."""
    import ray
    from ray import serve

    with tempfile.TemporaryDirectory(prefix="hr", ignore_cleanup_errors=True) as folder:
        context = ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=True,
            dashboard_port=0,
            object_store_memory=200 * 2**20,
            log_to_driver=False,
            _temp_dir=folder,
        )
        try:
            yield f"http://{context.dashboard_url}"
            serve.shutdown()
        finally:
            ray.shutdown()


def _file(path: Path, http_port: int, **serve: Any) -> str:
    llm = {
        "name": "llm",
        "route_prefix": None,
        "import_path": "hydra_ray.llm.serving:build_llm",
        "args": {"model": "tiny", "serve": serve},
    }
    options = {"host": "127.0.0.1", "port": http_port}
    config = {"proxy_location": "HeadOnly", "http_options": options, "applications": [llm]}
    path.write_text(yaml.safe_dump(config))
    return str(path)


def test_deploy(dashboard: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = str(make_tiny_model(tmp_path / "weights"))
    http_port, port = free_port(), free_port()
    good = _file(tmp_path / "good.yaml", http_port, source=weights, port=port, max_model_len=256)
    assert main(["deploy", good, "--address", dashboard]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == ["llm: running, on a port of its own"]
    assert "llm RUNNING (LLM 1/1)" in printed.err
    body = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", body, headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        assert json.load(response)["choices"][0]["message"]["role"] == "assistant"

    # The same once more changes nothing and is there at once.
    assert main(["deploy", good, "--address", dashboard, "--timeout", "30"]) == 0

    other = _file(tmp_path / "other.yaml", http_port + 1, source=weights, port=port, max_model_len=256)
    capsys.readouterr()
    assert main(["deploy", other, "--address", dashboard]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"http_options.port {http_port} (the file: {http_port + 1})" in line

    bad = _file(tmp_path / "bad.yaml", http_port, source=str(tmp_path / "none"), port=port)
    assert main(["deploy", bad, "--address", dashboard]) == 2
    *progress, line = capsys.readouterr().err.strip().splitlines()
    assert all(said.startswith("[deploy]") for said in progress)
    assert "application llm does not start: " in line
    assert f"llm.serve.source: {tmp_path / 'none'}: no such folder" in line


def test_names_of_what_ray_serve_llm_deploys() -> None:
    """A file may set options of these; only `build_openai_app` knows how it names them."""
    from ray.serve._private.build_app import build_app

    args = LLMConfig.model_validate({"model": "org/a.b", "serve": {"source": "org/a.b", "accelerator": "gpu"}})
    built = build_app(build_llm(args), name="llm")
    assert {deployment.name for deployment in built.deployments} == set(deployment_names(args))
