"""Keys of a section."""

from hydra_ray.config import TrainConfig
from hydra_ray.config.section import execution_only


def test_keys_that_change_no_result_are_marked() -> None:
    assert execution_only(TrainConfig) == {
        "max_failures", "checkpoint_interval_s", "checkpoint_steps", "trackers",
        "activation_checkpointing", "offload",
    }  # fmt: skip
