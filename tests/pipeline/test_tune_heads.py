import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from hydra_ray.config import Config
from hydra_ray.errors import UserError
from hydra_ray.pipeline.fit_spec import FitSpec
from hydra_ray.pipeline.step_settings import TUNED_BASE, base_of
from hydra_ray.pipeline.tune_heads import choose_start, tune_heads, tuned_on
from hydra_ray.training.artifacts.trained_scorer import BASE, fingerprint, load_scorer, save_as_kind, save_base
from tests.pipeline.fitted_world import make_config, make_fit, write_answers, write_base

NAN = math.nan


class Lines:
    """Takes what a run would print."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, line: str) -> None:
        self.lines.append(line)

    def ray(self) -> None:
        """Ray runs already where it is needed."""


@pytest.fixture
def world(tmp_path: Path) -> Path:
    write_base(tmp_path, make_config(tmp_path), "joint")
    write_base(tmp_path, make_config(tmp_path, "shared"), "shared")
    write_answers(tmp_path / "answered")
    return tmp_path


def overconfident(base: Path) -> None:
    """Makes a base's log-odds fifty times as large: it is wrong as often, and far more surely."""
    state = load_file(base / BASE)
    scorer = load_scorer(base)
    state |= {name: state[name] * 50 for name in ("head.out.weight", "head.out.bias")}
    save_file(state, base / BASE)
    scorer.load_state_dict(load_file(base / BASE), strict=False)
    save_base(scorer.state_dict(), scorer.config, 32, scorer.feature_width, base)


def tuned(world: Path, fit: FitSpec, *starts: str) -> tuple[dict[str, Any], Lines]:
    lines = Lines()
    bases: Any = {start: world / start for start in starts or ("joint", "shared")}
    return tune_heads(lines, fit, bases, world / "tuned"), lines  # type: ignore[arg-type]


def test_heads_start_from_the_base_that_serves_the_training_users_better(world: Path) -> None:
    fit = make_fit(world, make_config(world, l2=None), world / "answered")
    overconfident(world / "joint")
    found, lines = tuned(world, fit)
    assert found["start"] == "shared"
    assert found["loss_by_start"]["shared"] < found["loss_by_start"]["joint"]
    assert found["loss_by_start"]["shared"] == pytest.approx(min(found["held_out_loss"].values()), abs=1e-4)
    assert lines.lines == [f"tune-reranker: l2 {found['l2']:g} on the shared base, from 4 training users"]
    base = base_of(world / "trained", world / "tuned", "linear")
    assert base == world / "tuned" / TUNED_BASE
    assert fingerprint(base) == fingerprint(world / "shared")
    assert load_scorer(base).head.delta_shapes() == load_scorer(world / "joint").head.delta_shapes()


def test_the_joint_base_is_left_where_it_is(world: Path) -> None:
    fit = make_fit(world, make_config(world, l2=None), world / "answered")
    overconfident(world / "shared")
    found, _ = tuned(world, fit)
    assert found["start"] == "joint"
    assert base_of(world / "trained", world / "tuned", "linear") == world / "trained" / "linear"


def test_users_who_show_nothing_keep_the_joint_base(world: Path) -> None:
    write_answers(world / "few", queries=1)
    found, _ = tuned(world, make_fit(world, make_config(world, l2=None), world / "few"))
    assert (found["start"], found["loss_by_start"], found["tuning_users"]) == ("joint", {}, 0)


def test_equal_bases_are_no_reason_for_the_joint_one(world: Path) -> None:
    save_as_kind(world / "joint", "shared", world / "shared")
    found, _ = tuned(world, make_fit(world, make_config(world), world / "answered"))
    assert found["start"] == "shared"
    assert found["loss_by_start"]["joint"] == found["loss_by_start"]["shared"]


@pytest.mark.parametrize(
    ("joint", "shared", "start"),
    [
        ([0.1, 0.1, 0.1, 0.1], [0.2, 0.2, 0.3, 0.3], "joint"),  # better by .15, standard error .029
        ([0.1, 0.1, 0.1, 0.1], [0.0, 0.5, 0.0, 0.1], "shared"),  # better by .05, standard error .119
        ([0.3, 0.3, 0.3, 0.3], [0.2, 0.2, 0.2, 0.2], "shared"),
        ([0.1, NAN, 0.1, 0.1], [0.2, 0.2, NAN, 0.3], "joint"),
        ([0.1], [0.2], "joint"),
        ([NAN], [0.2], "joint"),
        ([], [], "joint"),
    ],
)
def test_the_joint_base_must_be_better_by_more_than_a_standard_error(
    joint: list[float], shared: list[float], start: str
) -> None:
    assert choose_start({"joint": torch.tensor(joint), "shared": torch.tensor(shared)}) == start


def test_a_given_start_is_not_chosen(world: Path) -> None:
    overconfident(world / "shared")
    found, lines = tuned(world, make_fit(world, make_config(world), world / "answered"), "shared")
    assert found["start"] == "shared"
    assert (world / "tuned" / TUNED_BASE / BASE).exists()
    assert "base" not in lines.lines[0]


def test_a_kind_with_weights_of_its_own_cannot_start_from_the_shared_base() -> None:
    with pytest.raises(ValueError, match=r"fit\.start=shared: low_rank heads have weights.*choose model.head=linear"):
        Config.model_validate({"model": {"head": "low_rank"}, "fit": {"start": "shared"}})
    assert Config.model_validate({"fit": {"start": "shared"}}).fit.start == "shared"


def test_where_fits_have_a_gpu_a_worker_tunes_and_says_if_it_has_none(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    fit = make_fit(world, make_config(world, l2=None), world / "answered")
    with pytest.raises(UserError, match=r"^a worker was promised a GPU \(num_gpus=0\.5\)"):
        tuned_on(fit, {"joint": world / "joint"}, 0.5)
    found, _ = tuned_on(fit, {"joint": world / "joint"}, 0.0)["joint"]
    expected, _ = tuned(world, fit, "joint")
    assert found == {name: expected[name] for name in found}
