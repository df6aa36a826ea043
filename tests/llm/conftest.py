import os
import tempfile
from collections.abc import Iterator

import pytest

from tests.llm.fake_server import FakeServer, in_thread


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """A small Ray of this module's own, without dashboard and authentication."""
    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        ray.shutdown()
    with tempfile.TemporaryDirectory(prefix="hr", ignore_cleanup_errors=True) as folder:
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            logging_level="warning",
            object_store_memory=200 * 2**20,
            _temp_dir=folder,
        )
        try:
            yield
        finally:
            ray.shutdown()


@pytest.fixture
def threaded_server() -> Iterator[FakeServer]:
    """The fake chat server on a loop of its own, for code under test in other processes."""
    with in_thread(FakeServer()) as fake:
        yield fake
