"""Methods that train something share what they can."""

from pathlib import Path
from typing import Any

from hydra_ray.core.sampling import Trial
from tests.pipeline.step_keys import make_job

ROWS = ("ropg_kd_k1", "ropg_kd_k4", "ropg_rl_k1", "ropg_rl_k4")


def test_rows_of_one_goal_share_a_training(tmp_path: Path) -> None:
    def keys(**changes: Any) -> list[str]:
        job, _ = make_job(tmp_path, evaluate={"methods": ROWS}, **changes)
        return [found.key for name in ROWS if (found := job.trained_method(Trial(0), name))]

    kd, kd_too, rl, rl_too = keys()
    assert (kd, rl) == (kd_too, rl_too)
    assert kd != rl
    for changes in (
        {"ropg": {"objective": "released"}},
        {"retrieval": {"use_date": True}},
        {"retrieval": {"top_n": 16}},
    ):
        assert not {kd, rl} & set(keys(**changes))
    assert keys(fit={"epochs": 3}, train={"epochs": 3, "max_failures": 0}) == [kd, kd_too, rl, rl_too]
