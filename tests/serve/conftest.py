import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hydra_ray.serve.observability import logs
from tests.serve.running import Running, running

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
