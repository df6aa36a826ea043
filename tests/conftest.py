import os
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

# Before anything imports Ray: a token file would otherwise be demanded from every later `ray` command.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Runs what is marked `nodes` only where it is asked for: it takes as long as all the rest."""
    if "nodes" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("nodes")]
        items[:] = [item for item in items if not item.get_closest_marker("nodes")]
        config.hook.pytest_deselected(items=left_out)


# The same examples every time: what fails here, fails everywhere. No deadline: tests share the cores with others.
settings.register_profile("suite", deadline=None, derandomize=True, database=None)
settings.load_profile("suite")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """PyTorch's threads spin while they wait, and tests share the cores with what they start."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same numbers every time, whatever ran before."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def children_have_one_thread(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for the processes that a unit test starts; on a cluster, Ray and vLLM decide."""
    if request.node.get_closest_marker("cluster") is None:
        monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """One Ray for all commands of a module: its address."""
    import ray

    ray.init(address="local", num_cpus=8, include_dashboard=False, log_to_driver=False, logging_level="warning")
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


@pytest.fixture(autouse=True)
def unknown_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test knows what another one found out about a server that had the same port."""
    monkeypatch.setattr("hydra_ray.llm.dialect._known", {})
