"""Keys of a section."""

import pytest

from hydra_ray.config import TrainConfig, load_config
from hydra_ray.config.section import execution_only
from hydra_ray.errors import UserError


def test_keys_that_change_no_result_are_marked() -> None:
    assert execution_only(TrainConfig) == {
        "max_failures", "checkpoint_interval_s", "checkpoint_steps", "trackers",
        "activation_checkpointing", "offload",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "values", "twice"),
    [
        ("protocol.seeds", "[1,2,1]", "1"),
        ("ropg.teacher_temperatures", "[0.5,0.50]", "0.5"),
        ("lora.targets", "[q_proj,q_proj]", "q_proj"),
        ("lora.task_targets", "[q_proj,v_proj,v_proj]", "v_proj"),
        ("train.trackers", "[mlflow,mlflow]", "mlflow"),
    ],
)
def test_a_value_that_is_listed_twice_is_one_line(key: str, values: str, twice: str) -> None:
    with pytest.raises(UserError) as error:
        load_config(None, [f"{key}={values}"])
    assert f"{key}: lists {twice} twice; give each value once" in str(error.value)
    assert "\n" not in str(error.value)
