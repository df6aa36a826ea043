"""ROPG's rows in a run: one training for all of them, and calls that other rows have paid for. No Ray, no training."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from hydra_ray.config import Config, ModelConfig
from hydra_ray.core.types import HistoryItem, User
from hydra_ray.errors import UserError
from hydra_ray.llm.types import call_key
from hydra_ray.methods.method import method_named
from hydra_ray.pipeline.eval_prompts import EvalPrompts
from hydra_ray.training.artifacts.trained_retriever import save_retriever
from tests.pipeline.test_eval_prompts import USER, asked, encode


def call(name: str, trained: Path, user: User = USER, encoder: Any = encode) -> str:
    """The key of a row's call about the user's first question."""
    prompts = EvalPrompts(Config().model_dump(mode="json"), 0, None, (name,), {}, {}, None, trained)
    prompts._encode = encoder
    _, made = next(iter(prompts([user])))
    (request,) = made.requests
    return call_key("m", request)


def with_history(*items: HistoryItem) -> User:
    """The user with these items alone before the first question."""
    question = replace(USER.questions[0], history=tuple(range(len(items))))
    return replace(USER, items=items, questions=(question,))


def learned(folder: Path, matrix: list[list[float]]) -> Path:
    folder.mkdir()
    save_retriever(folder, ModelConfig(), {"projection.weight": torch.tensor(matrix)}, {})
    return folder


def test_the_learned_matrix_chooses_the_examples(tmp_path: Path) -> None:
    same = learned(tmp_path / "same", [[1.0, 0], [0, 1]])
    dense = asked(("dense_k1", "dense_k4"), encode=encode, similarity="dot")
    # As long as nothing is learned the calls are those of the untrained retriever, which are paid for once.
    assert call("ropg_kd_k1", same) == call("ropg_rl_k1", same) == dense["greedy:dense_k1"]
    assert call("ropg_kd_k4", same) == dense["greedy:dense_k4"]
    # `encode` says that longer texts are nearer; the opposite of it wants the shortest.
    opposite = learned(tmp_path / "opposite", [[-1.0, 0], [0, 1]])
    shortest = min(reversed(USER.history_of(USER.questions[0])), key=lambda item: len(item.corpus))
    alone = with_history(shortest)
    assert call("ropg_kd_k1", opposite) == call("dense_k1", opposite, alone) != call("ropg_kd_k1", same)


def test_a_user_without_history_is_asked_the_question_alone(tmp_path: Path) -> None:
    folder, alone = learned(tmp_path / "same", [[1.0, 0], [0, 1]]), with_history()
    assert call("ropg_kd_k4", folder, alone) == call("zero_shot", folder, alone)


def test_an_encoder_of_another_width_is_one_line(tmp_path: Path) -> None:
    folder = learned(tmp_path / "same", [[1.0, 0], [0, 1]])
    with pytest.raises(UserError, match=r"^ropg_kd: trained on embeddings of 2 numbers, the encoder in use gives 3:"):
        call("ropg_kd_k4", folder, encoder=lambda texts: np.ones((len(texts), 3), dtype=np.float32))


@pytest.mark.parametrize("name", ["ropg_kd_k4", "ropg_rl_k4"])
def test_a_task_without_feedback_is_one_line(tmp_path: Path, name: str) -> None:
    train = method_named(name).train
    assert train is not None
    training: Any = SimpleNamespace(
        config=Config().model_dump(mode="json"), task=None, seed=0, folder=tmp_path, embedding_store=tmp_path,
        log=print,
        users=lambda: iter(()), feedback=lambda: iter(()), start_ray=lambda: None,
    )  # fmt: skip
    with pytest.raises(UserError, match=rf"^{name[:7]}: the LLM has answered no training query after single"):
        train(training)
