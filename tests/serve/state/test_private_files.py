"""Users' data is for its owner alone."""

import os
import stat
from pathlib import Path

from hydra_ray.core.types import HistoryItem
from hydra_ray.inference.types import UserKey
from hydra_ray.serve.bundle import RunArtifacts
from hydra_ray.serve.state.folders import USERS
from hydra_ray.serve.state.init_state import init_state
from hydra_ray.serve.state.user_store import UserStore
from tests.serve.state.made_run import USER_IDS


def test_only_its_owner_reads_the_state(made: RunArtifacts, tmp_path: Path) -> None:
    before = os.umask(0o000)
    try:
        init_state(made, tmp_path / "state", "me", log=print)
        assert os.umask(0o000) == 0o000
        store = UserStore.open(tmp_path / "state" / USERS)
        store.append(UserKey("me", USER_IDS[0]), [HistoryItem("new", "t", "t", "a")])
    finally:
        os.umask(before)
    kept = [tmp_path / "state", *(tmp_path / "state").rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept if path.is_file()} == {0o600}

    for folder in ("users", "reranker.heads"):  # as a copy may leave them
        (tmp_path / "state" / folder).chmod(0o755)
    init_state(made, tmp_path / "state", "me", log=print)
    assert {stat.S_IMODE((tmp_path / "state" / name).stat().st_mode) for name in ("users", "reranker.heads")} == {0o700}
