"""The most that a stage can ask, without doing it."""

from pathlib import Path
from typing import Any

from hydra_ray.config import Config
from hydra_ray.core.prompts import PromptBudget
from hydra_ray.core.sampling import Trial, UserSample
from hydra_ray.pipeline.cost_bounds import _Evaluate, bounds
from hydra_ray.synth.world import make_user
from tests.pipeline.fitted_world import users, write_users
from tests.pipeline.step_keys import make_job

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


def test_a_summary_for_a_training_is_counted_once(tmp_path: Path) -> None:
    write_users(tmp_path / "ingest")
    source = {user.user_id: user.split for user, _ in users()}
    train = tuple(name for name, split in source.items() if split == "train")
    test = tuple(name for name in source if name not in train)

    def calls(*methods: str) -> dict[str, float]:
        job, _ = make_job(tmp_path, data={"task": "synthetic_tagging"}, evaluate={"methods": methods})
        job._chosen[Trial(0)] = UserSample(train, test, source)
        found, whole = bounds(job, PromptBudget(), False)
        assert whole
        return {stage: bound.calls for stage, bound in found.items()}

    assert "summarise-users" not in calls("oppu_k0")
    found = calls("oppu_pag_k1", "task_lora_pag_k1")
    assert (found["summarise"], found["summarise-users"]) == (len(test), len(train))
