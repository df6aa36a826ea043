"""ROPG with a user head in a run: it asks what the trained retriever asks, or what a user's head makes of it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hydra_ray.config import Config
from hydra_ray.core.labeling import Row
from hydra_ray.core.tasks import load_task
from hydra_ray.core.types import User
from hydra_ray.errors import UserError
from hydra_ray.llm.types import call_key
from hydra_ray.methods.method import method_named
from hydra_ray.methods.ropg_user import BASE, NAME, lists_of, user_parameters
from hydra_ray.pipeline.eval_prompts import EvalPrompts
from hydra_ray.training.artifacts.retriever_heads import save_heads
from hydra_ray.training.artifacts.trained_retriever import TrainedRetriever
from tests.methods.test_ropg import learned
from tests.pipeline.test_eval_prompts import USER, encode

ROWS = ("ropg_kd_user_k1", "ropg_kd_user_k4")


def call(name: str, trained: Path, base: Path) -> str:
    prompts = EvalPrompts(Config().model_dump(mode="json"), 0, None, (name,), {}, {}, None, trained, {BASE: base})
    prompts._encode = encode
    _, made = next(iter(prompts([USER])))
    (request,) = made.requests
    return call_key("m", request)


def heads(folder: Path, base: Path, **found: list[float]) -> Path:
    folder.mkdir()
    own = {user: np.array(head, dtype=np.float32) for user, head in found.items()}
    save_heads(folder, TrainedRetriever.load(NAME, base), 8, own, {})
    return folder


@pytest.mark.parametrize("k", [1, 4])
def test_the_users_head_chooses_the_examples(tmp_path: Path, k: int) -> None:
    base = learned(tmp_path / "base", [[1.0, 0], [0, 1]])
    opposite = learned(tmp_path / "opposite", [[-1.0, 0], [0, 1]])
    nobodys = heads(tmp_path / "nobodys", base)
    # Without a head of the user's own the call is the one that the retriever's row has paid for.
    assert call(f"ropg_kd_user_k{k}", nobodys, base) == call(f"ropg_kd_k{k}", base, base)
    own = heads(tmp_path / "own", base, **{USER.user_id: [-2.0, 0.0]})
    assert call(f"ropg_kd_user_k{k}", own, base) == call(f"ropg_kd_k{k}", opposite, base)
    assert call(f"ropg_kd_user_k{k}", own, base) != call(f"ropg_kd_k{k}", base, base)


def test_rows_share_a_training_and_name_what_a_user_costs(tmp_path: Path) -> None:
    for name in ROWS:
        method = method_named(name)
        assert method.trained_as == NAME
        assert method.builds_on(Config()) == (BASE,)
        assert method.reads_own_feedback
        assert method.user_parameters is user_parameters
    base = learned(tmp_path / "base", [[1.0, 0], [0, 1]])
    assert user_parameters(heads(tmp_path / "own", base)) == 2


def made_of(user: User) -> list[Row]:
    """Rows about an item and a question that the LLM has answered, and one that the history knows; two items each."""
    first, second, third, *_ = user.items
    right_first, wrong_first = (("amber",), ("birch",)), (("birch",), ("amber",))
    return [
        Row(user.user_id, "h:1", first.text, first.answer, (second.text, third.text), (0.5, 1.0)),
        Row(user.user_id, "p:1", third.text, "amber", (first.text, second.text), (), right_first),
        Row(user.user_id, "q:1", "what?", "amber", (first.text, second.text), (), wrong_first),
    ]


def test_heads_learn_from_the_history_and_questions_judge_them() -> None:
    found = lists_of(load_task("synthetic_tagging"), False, USER, made_of(USER))
    assert [one.rewards for one in found.history] == [(0.5, 1), (1, 0)]
    assert [one.rewards for one in found.questions] == [(0, 1)]


def training(folder: Path, base: Path, users: list[User], lines: list[str]) -> Any:
    def trained_by(name: str) -> Path:
        assert name == BASE
        return base

    folder.mkdir()
    return SimpleNamespace(
        config=Config().model_dump(mode="json"), task=load_task("synthetic_tagging"), seed=0, folder=folder,
        embedding_store=folder / "embeddings", log=lines.append, trained_by=trained_by,
        users=lambda: iter(users), feedback=lambda: (row for user in users for row in made_of(user)),
        own_feedback=lambda: ((user, made_of(user)) for user in users),
    )  # fmt: skip


def test_a_training_leaves_what_its_rows_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hydra_ray.models.text_embeddings.text_embeddings", lambda *args: encode)
    base, lines = learned(tmp_path / "base", [[1.0, 0], [0, 1]]), list[str]()
    train = method_named(ROWS[0]).train
    assert train is not None
    train(training(tmp_path / "out", base, [USER], lines))
    assert user_parameters(tmp_path / "out") == 2
    assert lines[0].startswith(f"{NAME}: NDCG on the questions of 1 training users")
    assert call(ROWS[0], tmp_path / "out", base)


def test_a_folder_without_a_retriever_is_one_line(tmp_path: Path) -> None:
    train = method_named(ROWS[0]).train
    assert train is not None
    with pytest.raises(UserError, match=rf"^{NAME}: no trained retriever in "):
        train(training(tmp_path / "out", tmp_path / "gone", [USER], []))
