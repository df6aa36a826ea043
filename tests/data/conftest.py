"""A local Ray for the tests marked `cluster`, and the folder with the real sets."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data.files import RATING, ingest_pure
from tests.data.sixty_users import make_root

REPO = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    os.environ["RAY_AUTH_MODE"] = "disabled"
    import ray

    from hydra_ray.cluster import shutdown_ray

    started = not ray.is_initialized()
    if started:
        ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="warning")
    yield
    if started:
        shutdown_ray()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder that HYDRA_RAY_REAL_DATA names, relative to the repository; skips where there is none."""
    folder = (REPO / os.environ.get("HYDRA_RAY_REAL_DATA", "../shared/data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The 60 users, ingested into four buckets."""
    ingest_pure(make_root(tmp_path), RATING, tmp_path / "out", buckets=4)
    return tmp_path / "out"
