import pytest
import torch

from hydra_ray.models.mixture import MIXTURE, MixtureHead, Router, balance_loss, mixtures


def test_a_mixture_weighs_the_experts_logits() -> None:
    torch.manual_seed(0)
    head = MixtureHead(5, 3, 0.0).eval()
    z = torch.randn(2, 4, 5)
    alone = [head(z, mixtures(torch.eye(3)[[f, f]])) for f in range(3)]
    mixed = head(z, mixtures(torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.25, 0.75]])))
    assert torch.allclose(mixed[0], (alone[0][0] + alone[1][0]) / 2, atol=1e-6)
    assert torch.allclose(mixed[1], 0.25 * alone[1][1] + 0.75 * alone[2][1], atol=1e-6)


def test_zeros_are_the_shared_head() -> None:
    head = MixtureHead(5, 3, 0.0).eval()
    z = torch.randn(2, 4, 5)
    assert torch.allclose(head(z, head.zeros(2)), head(z, {}), atol=1e-6)
    user = torch.tensor([1, 0])
    own = {MIXTURE: torch.randn(2, 3)}
    assert torch.allclose(head.of_users(z, own, user), head(z, {MIXTURE: own[MIXTURE][user]}))


def test_the_router_mixes_the_best_few_and_reads_only_records_that_exist() -> None:
    torch.manual_seed(0)
    router = Router(6, 8, 5, 2)
    profile, present = torch.randn(3, 4, 6), torch.ones(3, 4)
    present[1, 2:] = 0
    weights, probability = router(profile, present)
    assert (weights > 0).sum(1).tolist() == [2, 2, 2]
    assert torch.allclose(weights.sum(1), torch.ones(3))
    assert torch.allclose(probability.sum(1), torch.ones(3))
    profile[1, 2:] = 99.0
    assert torch.allclose(router(profile, present)[0], weights)
    assert torch.isfinite(router(profile, torch.zeros(3, 4))[0]).all()


def test_balance_is_least_where_experts_are_used_alike_and_a_sum_over_rows() -> None:
    even, rows = torch.full((4, 2), 0.5), torch.tensor([1.0, 2.0, 0.0, 3.0])
    skewed = torch.tensor([[0.9, 0.1]] * 4)
    used = torch.tensor([0.9, 0.1])
    assert float(balance_loss(even, torch.full((2,), 0.5), rows)) == pytest.approx(float(rows.sum()))
    assert float(balance_loss(skewed, used, rows)) > float(balance_loss(even, used, rows))
    parts = balance_loss(skewed[:2], used, rows[:2]) + balance_loss(skewed[2:], used, rows[2:])
    assert float(parts) == pytest.approx(float(balance_loss(skewed, used, rows)))
