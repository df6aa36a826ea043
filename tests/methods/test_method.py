import pytest

from hydra_ray.errors import UserError
from hydra_ray.methods.method import Method, method_named, one_answer
from tests.methods.questions import Answered, Asked


def test_a_method_of_one_answer_asks_once_and_answers_what_comes_back() -> None:
    method = one_answer("mine", "Mine", "about", lambda question: question.greedy(question.retrieve("bm25", 3)))
    assert method.calls(Asked()) == {"greedy:mine": ("greedy", "3 by bm25")}  # type: ignore[arg-type, comparison-overlap]
    assert method.answer(Answered({"greedy:mine": ("comedy",)})) == "comedy"  # type: ignore[arg-type]
    assert method.answer(Answered()) is None  # type: ignore[arg-type]


def test_a_method_that_trains_is_not_shown_unasked() -> None:
    with pytest.raises(ValueError, match="Mine: a method that trains cannot be one that every run shows"):
        Method("Mine", "about", lambda q: {}, lambda a: None, always=True, train=lambda training: None)


def test_users_feedback_comes_with_the_training_users() -> None:
    with pytest.raises(ValueError, match="Mine: a method with `reads_own_feedback` needs `reads_feedback`"):
        Method("Mine", "about", lambda q: {}, lambda a: None, train=lambda training: None, reads_own_feedback=True)


def test_weights_that_are_served_are_trained() -> None:
    with pytest.raises(ValueError, match="Mine: a method with `serves_weights` needs a `train` that makes them"):
        Method("Mine", "about", lambda q: {}, lambda a: None, serves_weights=lambda trained: trained)


def test_an_unknown_method_is_one_line_with_the_nearest() -> None:
    with pytest.raises(UserError, match="bm25_k4"):
        method_named("bm25_k5")
