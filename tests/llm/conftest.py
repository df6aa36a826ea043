import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.llm.fake_server import FakeServer, in_thread

SERVER = """
import http.server, os, signal, subprocess, sys

class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
    def log_message(self, *_):
        pass

if __name__ == "__main__":
    host, port = (sys.argv[sys.argv.index(flag) + 1] for flag in ("--host", "--port"))
    signal.signal(signal.SIGTERM, lambda *_: (print("leaving", flush=True), os._exit(4)))
    engine = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print("engine", engine.pid, flush=True)
    http.server.HTTPServer((host, int(port)), Health).serve_forever()
"""


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """A small Ray of this module's own, without dashboard and authentication."""
    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    from hydra_ray.cluster import shutdown_ray

    if ray.is_initialized():
        shutdown_ray()
    with tempfile.TemporaryDirectory(prefix="hr", ignore_cleanup_errors=True) as folder:
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            logging_level="warning",
            object_store_memory=200 * 2**20,
            _temp_dir=folder,
        )
        try:
            yield
        finally:
            shutdown_ray()


@pytest.fixture
def threaded_server() -> Iterator[FakeServer]:
    """The fake chat server on a loop of its own, for code under test in other processes."""
    with in_thread(FakeServer()) as fake:
        yield fake


@pytest.fixture
def stands_for_vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the module lies that the child runs as vLLM's server."""
    folder = tmp_path / "vllm" / "entrypoints" / "openai"
    folder.mkdir(parents=True)
    for package in (folder, folder.parent, folder.parents[1]):
        (package / "__init__.py").touch()
    (folder / "api_server.py").write_text(SERVER)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    return folder / "api_server.py"
