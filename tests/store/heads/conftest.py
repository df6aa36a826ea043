import shutil
from pathlib import Path

import pytest

from hydra_ray.store.heads.head_store import HeadStore
from tests.store.made_up import SPEC, USERS, heads


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two data files, a deletion file and an up-to-date index; USERS[3] is deleted."""
    folder = tmp_path_factory.mktemp("whole") / "heads"
    store = HeadStore.create(str(folder), SPEC)
    store.put(USERS[:30], heads(30))
    store.put(USERS[30:], heads(10, seed=1))
    store.delete(USERS[3:4])
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "heads")
    return tmp_path / "heads"
