import math

import pytest
import torch
from pydantic import ValidationError

from hydra_ray.config import TrainConfig
from hydra_ray.models.losses import Loss, LossFunction, counts, loss_sum, query_losses
from hydra_ray.registries import LOSSES

RANKING: list[Loss] = ["listnet", "ranknet"]
ALL: list[Loss] = ["bce", *RANKING, "bce_listnet"]


def query(*labels: float) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([labels], dtype=torch.float32), torch.ones(1, len(labels))


@pytest.mark.parametrize("loss", ALL)
def test_a_scorer_that_says_nothing_costs_log_2_a_row(loss: Loss) -> None:
    label, mask = query(1, 0, 0, 1, 0)
    assert float(loss_sum(torch.zeros(1, 5, 2), label, mask, loss)) == pytest.approx(5 * math.log(2), rel=1e-5)


def test_two_class_is_cross_entropy_of_the_logits() -> None:
    logits = torch.randn(2, 3, 2)
    label, mask = torch.tensor([[1.0, 0, 1], [0, 0, 1]]), torch.tensor([[1.0, 1, 0], [1, 1, 1]])
    each = torch.nn.functional.cross_entropy(logits.flatten(0, 1), label.flatten().long(), reduction="none")
    assert float(loss_sum(logits, label, mask)) == pytest.approx(float((each * mask.flatten()).sum()), rel=1e-5)


def test_listwise_is_the_cross_entropy_of_the_querys_softmax() -> None:
    s = torch.tensor([[0.3, -1.0, 2.0, 0.5]])
    label, mask = query(1, 0, 1, 0)
    by_hand = -torch.log_softmax(s, -1)[0, [0, 2]].mean() * 4 * math.log(2) / math.log(4)
    assert float(query_losses(s, label, mask, "listnet")) == pytest.approx(float(by_hand), rel=1e-5)


def test_pairwise_is_the_mean_over_pairs_of_unequal_labels_times_the_rows() -> None:
    s = torch.tensor([[0.3, -1.0, 2.0]])
    label, mask = query(1, 0, 0)
    pairs = [math.log1p(math.exp(-1.0 - 0.3)), math.log1p(math.exp(2.0 - 0.3))]
    assert float(query_losses(s, label, mask, "ranknet")) == pytest.approx(3 * sum(pairs) / 2, rel=1e-5)


@pytest.mark.parametrize("loss", RANKING)
def test_ranking_losses_ignore_what_is_added_to_a_whole_query_and_learn_nothing_from_equal_labels(loss: Loss) -> None:
    s = torch.randn(3, 4, requires_grad=True)
    label = torch.tensor([[1.0, 0, 0, 1], [1, 1, 1, 0], [0, 0, 0, 0]])
    mask = torch.tensor([[1.0, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]])
    losses = query_losses(s, label, mask, loss)
    losses.sum().backward()
    assert losses[1:].tolist() == [0, 0]  # the second query's only zero has no label
    assert counts(label, mask, loss).tolist() == [True, False, False]
    assert s.grad is not None
    assert bool((s.grad[1:] == 0).all())
    assert torch.allclose(s.grad[0].sum(), torch.zeros(()), atol=1e-6)
    assert torch.allclose(query_losses(s + 3, label, mask, loss), losses, atol=1e-5)


@pytest.mark.parametrize("loss", ALL)
def test_rows_that_do_not_count_change_nothing_and_no_rows_give_no_nan(loss: Loss) -> None:
    s, (label, mask) = torch.randn(1, 3), query(1, 0, 1)
    longer = torch.cat([s, torch.full((1, 2), 50.0)], 1).requires_grad_()
    padded = torch.cat([label, torch.ones(1, 2)], 1), torch.cat([mask, torch.zeros(1, 2)], 1)
    assert torch.allclose(query_losses(longer, *padded, loss), query_losses(s, label, mask, loss), rtol=1e-4)
    empty = query_losses(longer, padded[0], torch.zeros(1, 5), loss)
    empty.sum().backward()
    assert empty.tolist() == [0]
    assert longer.grad is not None
    assert bool((longer.grad == 0).all())


@pytest.mark.parametrize("loss", ALL)
def test_descending_a_loss_puts_the_right_rows_first(loss: Loss) -> None:
    s, (label, mask) = torch.zeros(1, 4, requires_grad=True), query(0, 1, 0, 1)
    for _ in range(20):
        (gradient,) = torch.autograd.grad(query_losses(s, label, mask, loss).sum(), s)
        s = (s - 0.2 * gradient).detach().requires_grad_()
    assert set(s.detach()[0].topk(2).indices.tolist()) == {1, 3}


def test_a_loss_of_ones_own_is_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOSSES, "_entries", dict(LOSSES._entries))
    LOSSES.register("squared")(LossFunction(lambda s, label, mask: ((s - label).square() * mask).sum(-1), ranks=True))
    label, mask = query(1, 0)
    assert query_losses(torch.tensor([[3.0, 1.0]]), label, mask, "squared").tolist() == [5.0]
    assert counts(torch.ones(1, 2), mask, "squared").tolist() == [False]
    assert TrainConfig(loss="squared").loss == "squared"
    with pytest.raises(ValidationError, match="no loss 'square'; did you mean 'squared'"):
        TrainConfig(loss="square")
