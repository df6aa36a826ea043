import pytest
import torch

from hydra_ray.config import FitConfig
from hydra_ray.errors import UserError
from hydra_ray.models.heads import make_head
from hydra_ray.models.losses import Loss
from hydra_ray.training.user_fit.early_stopping import fit_heads_stopped
from hydra_ray.training.user_fit.fit import fit_heads
from tests.training.user_fit.some_users import draw

KINDS: list[str] = ["linear", "low_rank", "dense"]
BEST = FitConfig(epochs=30, early_stop_margin_se=0)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("kind", KINDS)
def test_who_can_be_fitted_is_fitted_and_who_cannot_keeps_the_shared_head(kind: str) -> None:
    head = make_head(kind, 6, 2, 0.0)
    torch.nn.init.zeros_(head.out.weight)  # the best there is for labels that nothing predicts
    torch.nn.init.zeros_(head.out.bias)
    tastes, coins = draw(6), draw(40, noise=True)
    fitted = fit_heads_stopped(head, tastes, tastes.held_out(), BEST, 0.001)
    assert bool((fitted.after < fitted.before).all())
    assert float(fitted.after.mean()) < 0.4
    assert not bool((fitted.epoch == 0).any())
    noise = fit_heads_stopped(head, coins, coins.held_out(), BEST, 0.001)
    kept = noise.epoch == 0
    assert int(kept.sum()) > 15
    for value in noise.deltas.values():
        assert bool((value[kept] == 0).all())
    assert bool((noise.after[kept] == noise.before[kept]).all())


@pytest.mark.parametrize("kind", KINDS)
def test_a_user_alone_gets_what_the_same_user_gets_in_a_batch(kind: str) -> None:
    head = make_head(kind, 6, 2, 0.0)
    rows = draw(5)
    together = fit_heads_stopped(head, rows, rows.held_out(), BEST, 0.01)
    for u in range(5):
        one = rows.users(torch.tensor([u]))
        alone = fit_heads_stopped(head, one, one.held_out(), BEST, 0.01)
        assert int(alone.epoch) == int(together.epoch[u])
        assert all(torch.allclose(alone.deltas[n][0], together.deltas[n][u], atol=1e-3) for n in alone.deltas)


def test_an_earlier_head_has_no_say_in_how_long_it_is_learned() -> None:
    head, rows = make_head("linear", 6, 2, 0.0), draw(30, noise=True)
    earlier = fit_heads(head, rows, BEST, 0.001)
    cold = fit_heads_stopped(head, rows, rows.held_out(), BEST, 0.001)
    warm = fit_heads_stopped(head, rows, rows.held_out(), BEST, 0.001, start=earlier)
    assert torch.equal(cold.epoch, warm.epoch)
    assert torch.equal(cold.after, warm.after)
    assert any(not torch.equal(cold.deltas[n], warm.deltas[n]) for n in cold.deltas)


def test_users_with_too_few_queries_are_counted_apart_and_learn_all_epochs() -> None:
    head = make_head("linear", 6, 2, 0.0)
    few = draw(2, queries=2)
    result = fit_heads_stopped(head, few, few.held_out(), BEST, 0.01)
    assert not bool(result.tested.any())
    assert result.epoch.tolist() == [30, 30]
    assert bool(result.before.isnan().all() and result.after.isnan().all())
    full = fit_heads(head, few, BEST, 0.01)
    assert all(torch.allclose(full[n], result.deltas[n]) for n in full)
    empty = few.only(torch.zeros_like(few.mask))
    assert fit_heads_stopped(head, empty, few.held_out(), BEST, 0.01).epoch.tolist() == [0, 0]


def test_a_margin_keeps_users_learning_where_a_few_queries_say_little() -> None:
    head, coins = make_head("linear", 6, 2, 0.0), draw(30, noise=True)
    stopped = [
        int((fit_heads_stopped(head, coins, coins.held_out(), config, 0.01).epoch < 30).sum())
        for config in (BEST, FitConfig(epochs=30, early_stop_margin_se=1), FitConfig(epochs=30, early_stop_margin_se=3))
    ]
    assert stopped[0] > stopped[1] > stopped[2]


@pytest.mark.parametrize("loss", ["listnet", "ranknet", "bce_listnet"])
def test_ranking_losses_fit_too_and_queries_with_equal_labels_do_not_test(loss: Loss) -> None:
    head, rows = make_head("linear", 6, 2, 0.0), draw(4)
    result = fit_heads_stopped(head, rows, rows.held_out(), BEST, 0.001, loss)
    assert bool((result.after < result.before - 0.1).all())
    rows.label[rows.held_out()] = 1
    tested = fit_heads_stopped(head, rows, rows.held_out(), BEST, 0.001, loss).tested
    assert bool(tested.all()) == (loss == "bce_listnet")


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_that_becomes_nan_is_refused_and_its_user_named(kind: str) -> None:
    rows = draw(3)
    rows.z[1, 0, 0] = torch.nan
    with pytest.raises(UserError, match=r"fitted heads of user 1 are NaN or infinite \(1 of 3 users"):
        fit_heads(make_head(kind, 6, 2, 0.0), rows, FitConfig(epochs=2), 0.01)
