from pathlib import Path

import pytest

import hydra_ray
from tests.api.answering import llm
from tests.api.finished_run import write_finished


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run `quickstart` under `runs`; for reading alone."""
    return write_finished(tmp_path_factory.mktemp("finished").resolve())


@pytest.fixture(scope="module")
def pipe(run_folder: Path) -> hydra_ray.HydraPipeline:
    return hydra_ray.HydraPipeline.from_run(run_folder, llm=llm)
