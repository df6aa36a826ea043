from pathlib import Path

import pytest

from hydra_ray.errors import UserError
from hydra_ray.serve.config import ServeConfig
from hydra_ray.serve.state.location import state_of
from hydra_ray.serve.state.service_state import ServiceState


def test_the_state_is_in_the_run_unless_it_is_said_where(tmp_path: Path) -> None:
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    root = str(tmp_path / "runs")
    assert state_of(ServeConfig(run="mine", root=root)) == ServiceState(tmp_path / "runs" / "mine" / "serving")
    assert state_of(ServeConfig(run="mine", root=root, state=str(tmp_path / "own"))) == ServiceState(tmp_path / "own")
    assert state_of(ServeConfig(run="none", root=root, state=str(tmp_path / "own"))) == ServiceState(tmp_path / "own")
    with pytest.raises(UserError, match="there is no such folder"):
        state_of(ServeConfig(run="none", root=root))
    url = "postgresql://db/users"
    found = state_of(ServeConfig(run="none", root=root, state=str(tmp_path / "own"), database=url))
    assert found == ServiceState(tmp_path / "own", url)
