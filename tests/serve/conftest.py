import io
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from hydra_ray.cli import main
from hydra_ray.serve.observability import logs
from tests.serve.refusals import Refused
from tests.serve.run_folder import write_run
from tests.serve.running import Running, free_port, running
from tests.serve.state.postgres_server import PostgresServer, missing

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One service for all tests from outside, with the least caches there can be. It must end cleanly."""
    small = (
        "history_server.cache_mib=1",
        "scorer.head_cache_mib=1",
        "scorer.embedding_cache_mib=1",
        "fitter.vacuum_s=0",
    )
    with running(tmp_path_factory.mktemp("served"), *small) as made:
        yield made
        assert made.stop() == [], "processes that the service left behind"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server, skipped where none can run."""
    if why := missing():
        pytest.skip(why)
    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What this process has logged for the service."""
    stream = io.StringIO()
    logs.to_stream(stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    for logger in logs.LOGGERS:
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run's folder, left as it is."""
    return write_run(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """The same, to be spoilt."""
    shutil.copytree(whole.parent, tmp_path / "runs")
    return tmp_path / "runs" / whole.name


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Calls the command, which must end with one line; returns it."""
    monkeypatch.delenv("HYDRA_RAY_SERVE_KEYS", raising=False)

    def call(run: Path | str, *arguments: str) -> str:
        state = f"state={tmp_path / 'state'}"
        assert main(["serve", "--run", str(run), "--port", str(free_port()), state, *arguments]) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("[serve]")]
        assert len(lines) == 1, lines
        assert lines[0].startswith("hydra-ray: error: ")
        assert not ray.is_initialized()
        assert not (tmp_path / "state").exists()
        return lines[0].removeprefix("hydra-ray: error: ")

    return call
