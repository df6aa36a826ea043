from typing import Any

import pytest

from hydra_ray.core.tasks import load_task
from hydra_ray.methods.method import method_named
from tests.methods.questions import Answered, Asked


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("zero_shot", ()),
        ("random_k2", ("2 by random",)),
        ("bm25_k4", ("4 by bm25",)),
        ("recency_k1", ("1 by recency",)),
        ("dense_k4", ("4 by dense",)),
        ("ranking_k2", ("2 by ranking",)),
        ("rrf_k4", ("4 by rrf",)),
        ("pag_k0", ("0 by bm25", "a summary")),
        ("pag_k1", ("1 by bm25", "a summary")),
    ],
)
def test_what_a_prompt_shows(name: str, shown: tuple[str, ...]) -> None:
    asked: Any = Asked()
    assert method_named(name).calls(asked) == {f"greedy:{name}": ("greedy", *shown)}


def test_rows_that_every_run_shows_need_no_further_retriever() -> None:
    for name in ("zero_shot", "random_k1", "bm25_k4", "pag_k1", "self_consistency", "user_majority"):
        assert (method_named(name).always, method_named(name).retrievers) == (True, ())
    for name in ("recency_k1", "dense_k2", "ranking_k4", "rrf_k4"):
        assert (method_named(name).always, method_named(name).retrievers) == (False, (name.split("_")[0],))


def test_the_users_majority_asks_nothing() -> None:
    method = method_named("user_majority")
    asked: Any = Asked()
    answered: Any = Answered(history=("comedy", "action", "comedy"))
    assert method.calls(asked) == {}
    assert method.answer(answered) == "comedy"


@pytest.mark.parametrize(("task", "answer"), [("lamp_3", "3"), ("lamp_2m", "sci-fi"), ("lamp_4", "")])
def test_the_majority_of_no_history(task: str, answer: str) -> None:
    answered: Any = Answered(task=load_task(task))
    assert method_named("user_majority").answer(answered) == answer


def test_self_consistency_votes_over_samples_after_bm25() -> None:
    method = method_named("self_consistency")
    asked: Any = Asked()
    answered: Any = Answered({"samples:bm25": ("comedy", "Tag: action", "action.")})
    nothing: Any = Answered()
    assert method.calls(asked) == {"samples:bm25": ("samples", "4 by bm25")}
    assert method.answer(answered) == "action"
    assert method.answer(nothing) is None
    assert method.candidates is not None
    assert sorted(method.candidates(answered)) == ["action", "comedy"]
