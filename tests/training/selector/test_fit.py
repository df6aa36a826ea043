"""The training of a selector over frozen embeddings."""

import math

import pytest
import torch
from torch import Tensor

from hydra_ray.errors import UserError
from hydra_ray.models.retriever_selector import RetrieverSelector, chosen
from hydra_ray.training.selector.fit import SelectorSettings, fit_selector

SETTINGS = SelectorSettings(lr=0.05, epochs=20, batch=8)


def world(questions: int = 40) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings whose first number says which retriever's answer is right, rewards, and the held-out questions."""
    generator = torch.Generator().manual_seed(1)
    right = torch.randint(3, (questions,), generator=generator)
    rewards = torch.nn.functional.one_hot(right, 3).float()
    embedded = torch.randn(questions, 3, 4, generator=generator) * 0.1
    embedded[..., 0] += rewards
    return embedded, rewards, torch.arange(questions) % 4 == 0


def test_it_learns_which_retriever_serves_a_question() -> None:
    embedded, rewards, held_out = world()
    model = RetrieverSelector(("none", "bm25", "dense"), 4)
    found = fit_selector(model, embedded, rewards, held_out, SETTINGS, 0)
    assert found.questions == (30, 10)
    assert found.losses[0] == pytest.approx(math.log(3), abs=1e-2)
    assert found.losses[found.epoch] == min(found.losses) < found.losses[0] / 2
    assert chosen(model(embedded.flatten(0, 1)))[held_out].equal(rewards.argmax(-1)[held_out])


def test_questions_of_equal_rewards_teach_nothing_and_missing_answers_are_masked() -> None:
    embedded, rewards, held_out = world()
    alone = RetrieverSelector(("none", "bm25", "dense"), 4)
    fit_selector(alone, embedded, rewards, held_out, SETTINGS, 0)
    more = torch.cat([rewards, torch.tensor([[1.0, 1, 1], [0, math.nan, 0], [math.nan] * 3])])
    texts, sides = torch.cat([embedded, torch.full((3, 3, 4), 9.0)]), torch.cat([held_out, torch.tensor([False] * 3)])
    model = RetrieverSelector(("none", "bm25", "dense"), 4)
    found = fit_selector(model, texts, more, sides, SETTINGS, 0)
    assert found.equal == 3
    assert torch.equal(model.output.weight, alone.output.weight)


def test_where_nothing_helps_held_out_questions_the_untrained_weights_stay() -> None:
    embedded, rewards, held_out = world()
    rewards[held_out] = rewards[held_out].roll(1, -1)
    model = RetrieverSelector(("none", "bm25", "dense"), 4)
    found = fit_selector(model, embedded, rewards, held_out, SETTINGS, 0)
    assert found.epoch == 0
    assert not model.output.weight.any()


def test_one_side_without_a_question_that_teaches_is_a_plain_error() -> None:
    embedded, rewards, held_out = world()
    rewards[held_out] = 1.0
    with pytest.raises(UserError, match=r"^RSPG: 30 training questions and 0 held-out ones .* protocol\.train_users$"):
        fit_selector(RetrieverSelector(("none", "bm25", "dense"), 4), embedded, rewards, held_out, SETTINGS, 0)
