from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hydra_ray.serve.state.service_state import ServiceState
from tests.serve.state.postgres_server import PostgresServer, missing

BACK_ENDS = ("sqlite", "postgres")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server, skipped where none can run."""
    if why := missing():
        pytest.skip(why)
    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture(scope="session", params=BACK_ENDS)
def new_state(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], ServiceState]:
    """Makes states that hold nothing yet, of each back end."""

    def make() -> ServiceState:
        folder: Path = tmp_path_factory.mktemp("state")
        if request.param == "sqlite":
            return ServiceState(folder)
        server: PostgresServer = request.getfixturevalue("postgres")
        return ServiceState(folder, server.new_url())

    return make


@pytest.fixture
def state(new_state: Callable[[], ServiceState]) -> ServiceState:
    return new_state()
