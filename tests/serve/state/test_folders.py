import os
from pathlib import Path

import pytest

from hydra_ray.errors import UserError
from hydra_ray.serve.config import ServeConfig
from hydra_ray.serve.state.folders import FORGOTTEN, Deletions, heads_folder, state_folder


def test_the_state_is_in_the_run_unless_it_is_said_where(tmp_path: Path) -> None:
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    root = str(tmp_path / "runs")
    assert state_folder(ServeConfig(run="mine", root=root)) == tmp_path / "runs" / "mine" / "serving"
    assert state_folder(ServeConfig(run="mine", root=root, state=str(tmp_path / "own"))) == tmp_path / "own"
    assert state_folder(ServeConfig(run="none", root=root, state=str(tmp_path / "own"))) == tmp_path / "own"
    with pytest.raises(UserError, match="there is no such folder"):
        state_folder(ServeConfig(run="none", root=root))
    assert heads_folder(tmp_path, "adapter") == tmp_path / "adapter.heads"


def test_every_process_notices_a_deletion_once(tmp_path: Path) -> None:
    announcing, reading = Deletions(tmp_path), Deletions(tmp_path)
    assert not reading.new()
    announcing.announce()
    assert reading.new()
    assert not reading.new()
    os.utime(tmp_path / FORGOTTEN, ns=(1, 1))  # another one, whatever the clock's grain
    assert reading.new()
    assert not Deletions(tmp_path).new()
