from typing import Any

import pytest

from hydra_ray.methods.method import method_named
from tests.methods.questions import Answered, Asked

PLAIN = {"greedy:zero_shot": ("greedy",)}


@pytest.mark.parametrize(
    ("name", "samples", "examples", "adapter"),
    [
        ("hydra", "samples:hydra", "hydra's", "hydra"),
        ("hydra_shared", "samples:shared", "shared's", "shared"),
        ("hydra_paper", "samples:hydra", "hydra's", "paper"),
        ("hydra_unguarded", "samples:hydra", "hydra's", "unguarded"),
        ("hydra_adapter", "samples:bm25", "4 by bm25", "hydra"),
    ],
)
def test_examples_by_the_reranker_and_the_answer_by_the_adapter(
    name: str, samples: str, examples: str, adapter: str
) -> None:
    method = method_named(name)
    asked: Any = Asked()
    answered: Any = Answered()
    assert method.calls(asked) == {**PLAIN, samples: ("samples", examples)}
    assert method.answer(answered) == f"{adapter} of {samples}"
    assert method.candidates is not None
    assert method.candidates(answered) == (samples, adapter)
    assert (method.adapter, method.group) == (adapter, "ours")


def test_the_reranker_alone_answers_once() -> None:
    method = method_named("hydra_reranker")
    asked: Any = Asked()
    assert method.calls(asked) == {"greedy:hydra_reranker": ("greedy", "hydra's")}
    assert (method.rerankers, method.adapter) == (("hydra",), None)
