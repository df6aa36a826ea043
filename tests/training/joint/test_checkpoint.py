from pathlib import Path

import pytest

from hydra_ray.config import ModelConfig
from hydra_ray.errors import UserError
from hydra_ray.models.heads import make_head
from hydra_ray.training.joint import checkpoint
from hydra_ray.training.joint.checkpoint import TrainState
from hydra_ray.training.joint.user_head_table import UserHeadTable

MODEL = ModelConfig(pair_dim=8, head="linear").model_dump(mode="json")
KINDS = ("linear", "shared")


def table(kind: str = "linear", width: int = 8, users: tuple[str, ...] = ("a", "b")) -> UserHeadTable:
    return UserHeadTable(make_head(kind, width, 2, 0.0), dict.fromkeys(users, 3))  # type: ignore[arg-type]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    progress = TrainState(1, 2, 9, 0.5, [], MODEL)
    checkpoint.save_progress(tmp_path, progress)
    checkpoint.save_bucket(table(), 3, tmp_path)
    return tmp_path


def test_it_comes_back(saved: Path) -> None:
    found = checkpoint.load_progress(saved, MODEL, KINDS)
    assert found is not None
    assert (found.epoch, found.step, found.total) == (1, 2, 9)
    checkpoint.load_heads(saved, table())


def test_another_head_kind_of_the_same_job_begins_anew_and_another_model_is_refused(saved: Path) -> None:
    assert checkpoint.load_progress(saved, {**MODEL, "head": "shared"}, KINDS) is None
    with pytest.raises(UserError, match=r"another model \(model\.pair_dim=8, here 16\)"):
        checkpoint.load_progress(saved, {**MODEL, "pair_dim": 16}, KINDS)
    with pytest.raises(UserError, match=r"another model \(model\.encoder=minilm"):
        checkpoint.load_progress(saved, {**MODEL, "encoder": "elsewhere"}, KINDS)


def test_a_head_kind_that_the_job_does_not_train_is_refused(saved: Path) -> None:
    with pytest.raises(UserError, match=r"another head kind \(linear, here dense and shared\); remove it, or run"):
        checkpoint.load_progress(saved, {**MODEL, "head": "dense"}, ["dense", "shared"])


@pytest.mark.parametrize(
    "other",
    [table("dense"), table(width=9), table(users=("a", "c")), table(users=("a",))],
    ids=["kind", "width", "user", "fewer users"],
)
def test_heads_that_do_not_fit_are_refused_by_file(saved: Path, other: UserHeadTable) -> None:
    with pytest.raises(UserError, match=r"heads-000003\.safetensors: does not fit these heads"):
        checkpoint.load_heads(saved, other)


def test_a_missing_bucket_is_named(saved: Path) -> None:
    with pytest.raises(UserError, match=r"heads-000004\.safetensors: missing"):
        checkpoint.load_heads(saved, UserHeadTable(make_head("linear", 8, 2, 0.0), {"z": 4}))
