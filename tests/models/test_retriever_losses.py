"""The objectives of ROPG on lists small enough to work out by hand."""

import math

import pytest
import torch

from hydra_ray.models.retriever_losses import Goal, Objective, retriever_loss, teaches

NAN = float("nan")
LN3 = math.log(3)


def loss(scores: list[float], rewards: list[float], goal: Goal, objective: Objective = "clean", **more: float) -> float:
    return float(retriever_loss(torch.tensor([scores]), torch.tensor([rewards]), goal, objective, **more))


def test_clean_distillation_is_the_divergence_of_two_softmaxes() -> None:
    # Teacher (3/4, 1/4), student (1/2, 1/2).
    assert loss([0, 0], [1, 0], "kd", teacher=1 / LN3) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    # Equal at the optimum, whatever the temperatures; a candidate without a reward is not there.
    assert loss([2 * LN3, 0, 7], [1, 0, NAN], "kd", teacher=1 / LN3, student=2) == pytest.approx(0, abs=1e-6)


def test_equal_rewards_teach_the_clean_objective_nothing() -> None:
    rewards = torch.tensor([[1.0, 1, NAN], [1, 0, NAN], [NAN, NAN, NAN], [0.5, NAN, NAN]])
    assert teaches(rewards).tolist() == [False, True, False, False]
    scores = torch.tensor([[1.0, 2, 3], [0, 0, 0], [1, 2, 3], [1, 2, 3]], requires_grad=True)
    retriever_loss(scores, rewards, "kd").backward()
    assert scores.grad is not None
    assert scores.grad.abs().sum(1).gt(0).tolist() == [False, True, False, False]


def test_released_distillation_takes_the_softmax_twice() -> None:
    # softmax(s) = (1/2, 1/2), once more the same: cross-entropy log 2, whatever the teacher.
    assert loss([0, 0], [1, 0], "kd", "released") == pytest.approx(math.log(2))
    # softmax(s) = (3/4, 1/4) as logits: the first has 1 / (1 + e^-0.5); the teacher is (3/4, 1/4), too.
    first = 1 / (1 + math.exp(-0.5))
    expected = -(0.75 * math.log(first) + 0.25 * math.log(1 - first))
    assert loss([1, 0], [1, 0], "kd", "released", teacher=1 / LN3) == pytest.approx(expected)
    # Lists of equal rewards take part.
    assert loss([0, 0, 0], [1, 1, NAN], "kd", "released") == pytest.approx(math.log(2))


def test_clean_policy_gradient_is_the_expected_reward() -> None:
    assert loss([LN3, 0], [1, 0], "rl") == pytest.approx(-0.75)
    assert loss([LN3, 0, 9], [1, 0, NAN], "rl", student=0.5) == pytest.approx(-0.9)
    assert loss([1, 2], [NAN, NAN], "rl") == 0


def test_released_policy_gradient_has_the_clean_ones_in_the_mean() -> None:
    scores = torch.tensor([[LN3, 0.0]]).repeat(20_000, 1).requires_grad_()
    drawn = torch.Generator().manual_seed(0)
    retriever_loss(scores, torch.tensor([[0.0, 1.0]]).repeat(20_000, 1), "rl", "released", generator=drawn).backward()
    assert scores.grad is not None
    # p = (3/4, 1/4), expected reward p_2: its derivative by s_2 is p_2 (1 - p_2) = 3/16.
    assert scores.grad.mean(0).tolist() == pytest.approx([3 / 16, -3 / 16], abs=0.005)
    # The first candidate's reward is the baseline: drawing it, or its equal, is worth nothing.
    assert loss([1, 2], [0.5, 0.5], "rl", "released") == 0
    assert loss([1, 2], [NAN, NAN], "rl", "released") == 0
