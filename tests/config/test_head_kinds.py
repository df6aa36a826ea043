import pytest

from hydra_ray.config.head_kinds import head_kind, joint_kind
from hydra_ray.errors import UserError
from hydra_ray.registries import HEADS


def test_what_a_base_is_trained_as() -> None:
    kinds = {name: joint_kind(name) for name in HEADS.builtin}
    assert kinds.pop("bayesian_linear") == "linear"
    assert all(name == joint for name, joint in kinds.items())


def test_which_heads_may_start_from_a_base_without_any() -> None:
    shared = {name for name in HEADS.builtin if head_kind(name).starts_shared}
    assert shared == {"dense", "linear", "bayesian_linear"}


def test_kinds_without_users_own_parameters_have_no_solver() -> None:
    assert {name for name in HEADS.builtin if head_kind(name).solver is None} == {"shared", "mixture"}


def test_an_unknown_kind_is_one_line() -> None:
    with pytest.raises(UserError, match="linaer"):
        head_kind("linaer")
