"""The most that a stage can ask, without doing it."""

from typing import Any

from hydra_ray.config import Config
from hydra_ray.pipeline.cost_bounds import _Evaluate
from hydra_ray.synth.world import make_user

ROWS = ("ropg_kd_k1", "ropg_kd_k4", "ropg_rl_k1", "ropg_rl_k4")

USER = make_user("tagging", 0, 3, (14, 14), 1).to_user()


def config(**retrieval: Any) -> Config:
    return Config.model_validate({"retrieval": retrieval})


def test_a_dry_run_loads_no_encoder() -> None:
    prompts = _Evaluate(config().model_dump(mode="json"), 0, ("dense_k4", "rrf_k4"))
    _, made = next(iter(prompts([USER])))
    assert len(made.requests) == 2
    assert prompts._encode is None


def test_a_dry_run_needs_nothing_learned() -> None:
    _, made = next(iter(_Evaluate(Config().model_dump(mode="json"), 0, ROWS)([USER])))
    assert len(made.requests) == 4
