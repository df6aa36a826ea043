"""The rows that retrieve in other ways: what they ask, and what their steps' addresses say. No Ray, no model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hydra_ray.config import Config
from hydra_ray.core.types import User
from hydra_ray.errors import UserError
from hydra_ray.llm.types import call_key
from hydra_ray.methods.method import method_named
from hydra_ray.pipeline.eval_prompts import EvalPrompts
from hydra_ray.registries import METHODS
from hydra_ray.synth.world import make_user

USER = make_user("tagging", 0, 3, (14, 14), 1).to_user()


def config(**retrieval: Any) -> Config:
    return Config.model_validate({"retrieval": retrieval})


def asked(methods: tuple[str, ...], user: User = USER, encode: Any = None, **retrieval: Any) -> dict[str, str]:
    """The call of each method about the user's first question -> the key it is cached under."""
    plain = config(**retrieval).model_dump(mode="json")
    prompts = EvalPrompts(plain, 0, None, methods, {}, {}, None)
    prompts._encode = encode
    _, made = next(iter(prompts([user])))
    return dict(zip(made.row.methods, (call_key("m", request) for request in made.requests), strict=True))


def encode(texts: Any) -> Any:
    """Longer texts are nearer to everything, by their dot product alone."""
    return np.array([[len(text), 0] for text in texts], dtype=np.float32)


def test_equal_examples_are_one_call_that_is_paid_for_once() -> None:
    keys = asked(("bm25_k4", "rrf_k4", "recency_k4"), fuse=["bm25"])
    assert keys["greedy:rrf_k4"] == keys["greedy:bm25_k4"] != keys["greedy:recency_k4"]
    assert asked(("rrf_k4",), fuse=["recency"])["greedy:rrf_k4"] == keys["greedy:recency_k4"]


def test_the_number_of_examples_is_the_names() -> None:
    keys = asked(("recency_k1", "recency_k2", "recency_k4"))
    assert len(set(keys.values())) == 3


def test_dense_examples_follow_the_similarity(tmp_path: Path) -> None:
    newest_first = reversed(USER.history_of(USER.questions[0]))
    longest_first = [item.item_id for item in sorted(newest_first, key=lambda item: -len(item.corpus))]
    found = asked(("dense_k4",), encode=encode, similarity="dot")["greedy:dense_k4"]
    assert found == ranked(tmp_path, {USER.questions[0].question_id: longest_first})
    # By the cosine all are equally near, and the newest come first.
    assert (
        asked(("dense_k4",), encode=encode)["greedy:dense_k4"] == asked(("recency_k4",))["greedy:recency_k4"] != found
    )


def ranked(folder: Path, ranking: dict[str, list[str]]) -> str:
    """The key of the call with the four best items of a ranking."""
    (folder / "ranking.json").write_text(json.dumps(ranking))
    return asked(("ranking_k4",), ranking=str(folder / "ranking.json"))["greedy:ranking_k4"]


def test_a_ranking_from_a_file_chooses_the_examples(tmp_path: Path) -> None:
    question = USER.questions[0]
    newest_first = [item.item_id for item in reversed(USER.history_of(question))]
    assert ranked(tmp_path, {question.question_id: newest_first}) == asked(("recency_k4",))["greedy:recency_k4"]
    with pytest.raises(UserError, match=r"^retrieval\.ranking: ranks nothing for question"):
        ranked(tmp_path, {"another": newest_first})


RETRIEVING = [
    name for name in METHODS.builtin
    if not (method_named(name).train or method_named(name).rerankers or method_named(name).adapter)
]  # fmt: skip


@pytest.mark.parametrize("name", RETRIEVING)
def test_a_user_without_history_is_asked_the_question_alone(name: str, tmp_path: Path) -> None:
    question = replace(USER.questions[0], history=())
    user = replace(USER, items=(), questions=(question,))
    (tmp_path / "ranking.json").write_text(json.dumps({question.question_id: []}))
    ranking = str(tmp_path / "ranking.json")
    plain = config(ranking=ranking).model_dump(mode="json")
    prompts = EvalPrompts(plain, 0, None, (name, "zero_shot"), {}, {}, None)
    prompts._encode = encode
    ((_, made),) = prompts([user])
    assert all(request.messages == made.requests[-1].messages for request in made.requests)
