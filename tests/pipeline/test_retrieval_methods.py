"""The rows that retrieve in other ways: what they ask, and what their steps' addresses say. No Ray, no model."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hydra_ray.config import Config
from hydra_ray.core.types import User
from hydra_ray.errors import UserError
from hydra_ray.llm.types import call_key
from hydra_ray.pipeline.cost_bounds import _Evaluate
from hydra_ray.pipeline.data_steps import DataSteps
from hydra_ray.pipeline.eval_prompts import EvalPrompts
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


def test_a_dry_run_loads_no_encoder() -> None:
    prompts = _Evaluate(config().model_dump(mode="json"), 0, ("dense_k4", "rrf_k4"))
    _, made = next(iter(prompts([USER])))
    assert len(made.requests) == 2
    assert prompts._encode is None


def steps(**retrieval: Any) -> DataSteps:
    run: Any = SimpleNamespace(config=config(**retrieval))
    return DataSteps(run)


def test_addresses_of_steps_hold_what_the_retrievers_read(tmp_path: Path) -> None:
    plain = steps()._retrieval(("bm25",))
    # Keys that no retriever of the run reads leave its finished steps alone.
    assert plain == {"retrieval": {"method": "bm25", "bm25": "plus", "tokens": "words", "top_n": 10}}
    assert steps()._retrieval(("bm25", "recency")) == plain
    assert steps()._retrieval(("bm25", "dense"))["encoder"]["encoder"] == "minilm"
    assert steps(fuse=["recency", "dense"])._retrieval(("bm25", "rrf"))["encoder"]
    assert "encoder" not in steps(fuse=["recency"])._retrieval(("bm25", "rrf"))
    assert steps(similarity="dot")._retrieval(("bm25",))["retrieval"]["similarity"] == "dot"
    hashes = []
    for name, ids in (("one", ["a"]), ("two", ["a"]), ("three", ["b"])):
        (tmp_path / name).write_text(json.dumps({"q": ids}))
        hashes.append(steps(ranking=str(tmp_path / name))._retrieval(("bm25", "ranking"))["ranking"])
    assert hashes[0] == hashes[1] != hashes[2]
    with pytest.raises(UserError, match=r"^retrieval\.ranking: needed"):
        steps()._retrieval(("bm25", "ranking"))
