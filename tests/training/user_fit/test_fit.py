import numpy as np
import pytest
import torch

from hydra_ray.config import FitConfig
from hydra_ray.models.heads import gather, make_head, scores
from hydra_ray.training.user_fit.fit import L2_GRID, choose_l2, fit_heads
from hydra_ray.training.user_fit.padded_users import pad_users


def users(count: int = 4) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Users who like opposite directions of the same feature; their numbers of rows differ."""
    rng = np.random.default_rng(0)
    z = [rng.normal(size=(30 + 5 * u, 6)).astype(np.float32) for u in range(count)]
    y = [(x[:, 0] * (1 if u % 2 else -1) > 0).astype(np.float32) for u, x in enumerate(z)]
    return z, y


def test_opposite_tastes_are_fitted_and_stay_apart() -> None:
    torch.manual_seed(0)
    for kind in ("dense", "low_rank", "linear"):
        head = make_head(kind, 6, 2, 0.0)  # type: ignore[arg-type]
        z, y = users()
        deltas = fit_heads(head, pad_users(z, y), FitConfig(), 0.001)
        for u in range(4):
            s = scores(head(torch.from_numpy(z[u])[None], gather(deltas, torch.tensor([u]))))[0].detach().numpy()
            assert ((s > 0) == (y[u] > 0.5)).mean() > 0.85, kind


def test_a_batched_fit_equals_fitting_each_user_alone() -> None:
    torch.manual_seed(0)
    head = make_head("linear", 6, 2, 0.0)
    z, y = users()
    together = fit_heads(head, pad_users(z, y), FitConfig(), 0.01)
    for u in range(4):
        alone = fit_heads(head, pad_users(z[u : u + 1], y[u : u + 1]), FitConfig(), 0.01)
        assert all(torch.allclose(together[n][u], alone[n][0], atol=1e-4) for n in alone)


def test_a_user_without_rows_keeps_the_shared_head_and_missing_labels_do_not_count() -> None:
    head = make_head("linear", 6, 2, 0.0)
    z, y = users(2)
    y[0][:] = np.nan
    deltas = fit_heads(head, pad_users(z, y), FitConfig(), 0.01)
    assert all(bool((value[0] == 0).all()) for value in deltas.values())
    assert any(bool((value[1] != 0).any()) for value in deltas.values())


def test_the_pull_is_chosen_by_what_generalises() -> None:
    torch.manual_seed(0)
    head = make_head("linear", 6, 2, 0.0)
    z, y = users(12)
    real = pad_users([x[::2] for x in z], [t[::2] for t in y]), pad_users([x[1::2] for x in z], [t[1::2] for t in y])
    rng = np.random.default_rng(1)
    coins = [rng.integers(0, 2, len(t)).astype(np.float32) for t in y]
    noise = (
        pad_users([x[::2] for x in z], [t[::2] for t in coins]),
        pad_users([x[1::2] for x in z], [t[1::2] for t in coins]),
    )
    learned, tried, losses_U = choose_l2(head, real, FitConfig())
    assert set(tried) == set(L2_GRID)
    assert learned <= 0.1
    assert len(losses_U) == 12
    assert float(losses_U.mean()) == pytest.approx(tried[learned])
    assert choose_l2(head, noise, FitConfig())[0] > learned


def test_where_nothing_can_be_tested_the_pull_is_the_strongest() -> None:
    head = make_head("linear", 6, 2, 0.0)
    z, _ = users(3)
    same = pad_users(z, [np.ones(len(x), np.float32) for x in z])  # a ranking loss learns nothing from equal labels
    l2, tried, _ = choose_l2(head, (same, same), FitConfig(epochs=2), "ranknet")
    assert (l2, set(tried.values())) == (L2_GRID[-1], {0.0})
