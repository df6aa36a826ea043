from pathlib import Path

import pytest

from tests.api.finished_run import write_finished


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run `quickstart` under `runs`; for reading alone."""
    return write_finished(tmp_path_factory.mktemp("finished").resolve())
