"""What an engine has learned: it is taken up as if training had never stopped."""

from pathlib import Path

import pytest
import torch

from hydra_ray.errors import UserError
from hydra_ray.training.joint import zero_state
from hydra_ray.training.joint.engine_state import OPTIMIZER, WEIGHTS, EngineState
from tests.training.joint.small_engine import engine, step


@pytest.mark.parametrize("stage", [1, None])
def test_training_goes_on_as_if_it_had_never_stopped(alone: None, tmp_path: Path, stage: int | None) -> None:
    whole = engine(None, stage)
    step(whole, 1.0)
    step(whole, -2.0)
    EngineState.of(whole).save(tmp_path)
    kept = zero_state.weights(whole, copied=True)
    resumed = engine(EngineState.load(tmp_path), stage)
    for made in (whole, resumed):
        step(made, 0.5)
    left, right = EngineState.of(whole), EngineState.of(resumed)
    assert left.optimizer["step"] == right.optimizer["step"] == 3
    assert sorted(left.weights) == ["bias", "weight"]
    for one, other in ((left.weights, right.weights), (left.optimizer, right.optimizer)):
        assert one.keys() == other.keys()
        assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert not torch.equal(left.weights["weight"], kept["weight"])
    assert torch.equal(kept["weight"], EngineState.load(tmp_path).weights["weight"])


@pytest.mark.parametrize("file", [WEIGHTS, OPTIMIZER])
def test_a_broken_or_missing_file_is_one_line(tmp_path: Path, file: str) -> None:
    EngineState({"w": torch.ones(2)}, {"step": torch.tensor(9.0)}).save(tmp_path)
    (tmp_path / file).write_bytes(b"{")
    with pytest.raises(UserError, match=r"the checkpoint cannot be read \(.*\); remove it to start over") as error:
        EngineState.load(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}: ")
    (tmp_path / file).unlink()
    with pytest.raises(UserError, match="cannot be read"):
        EngineState.load(tmp_path)


def test_one_number_that_is_not_finite_counts() -> None:
    good, bad = torch.ones(2), torch.tensor([1.0, float("nan")])
    assert EngineState({"w": good}, {"step": good}).finite()
    assert not EngineState({"w": bad}, {"step": good}).finite()
    assert not EngineState({"w": good}, {"step": bad}).finite()
