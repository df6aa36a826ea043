from collections.abc import Iterator

import pytest

from tests.serve.running import Running, running


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One service for all tests from outside, with the least caches there can be. It must end cleanly."""
    small = ("retriever.cache_mib=1", "scorer.heads_mib=1", "scorer.vectors_mib=1", "fitter.vacuum_s=0")
    with running(tmp_path_factory.mktemp("served"), *small) as made:
        yield made
        assert made.stop() == [], "processes that the service left behind"
