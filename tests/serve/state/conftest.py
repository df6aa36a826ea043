from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hydra_ray.config import AdapterConfig
from hydra_ray.serve.bundle import RunArtifacts
from hydra_ray.serve.state.service_state import ServiceState
from hydra_ray.serve.state.users import UserStore
from hydra_ray.training.artifacts.trained_scorer import fingerprint
from tests.pipeline.fitted_world import make_config, write_base, write_users
from tests.serve.state.made_run import USER_IDS, write_some_heads
from tests.serve.state.postgres_server import PostgresServer

BACK_ENDS = ("sqlite", "postgres")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunArtifacts:
    """A bundle of kind `bayesian_linear`: heads of 5 users from the training, of 5 from the fit, one in both."""
    folder = tmp_path_factory.mktemp("run")
    config = make_config(folder, "bayesian_linear").model_copy(update={"adapter": AdapterConfig(features=False)})
    base = write_base(folder, config)
    write_users(folder / "ingest")
    found = fingerprint(base)
    trained = write_some_heads(folder / "trained", "linear", found, USER_IDS[:5], 1.0)
    fitted = write_some_heads(folder / "fitted", "bayesian_linear", found, USER_IDS[4:9], 2.0)
    return RunArtifacts("a-run", config, 0, {"reranker": base, "adapter": base},
                  {"reranker": (trained, fitted), "adapter": (fitted,)}, {}, folder / "ingest")  # fmt: skip


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


@pytest.fixture
def store(state: ServiceState) -> Iterator[UserStore]:
    """A store without users, of each back end."""
    made = state.create_users(4, "service")
    yield made
    made.close()
