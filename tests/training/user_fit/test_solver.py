"""Heads solved, and whose own rows speak against them."""

import torch

from hydra_ray.config import FitConfig
from hydra_ray.training.user_fit.padded_users import PaddedUsers
from hydra_ray.training.user_fit.solver import solve_heads
from tests.training.user_fit.drawn_users import silent
from tests.training.user_fit.taste import favouring, rows_of

FIRST, SECOND = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
HABIT = [[(FIRST, 1.0), (SECOND, 0.0)]] * 4
TASTE = [[(FIRST, 0.0), (SECOND, 1.0)]] * 4


def test_whom_a_head_of_their_own_serves_worse_keeps_the_shared_head() -> None:
    """Half of the users answer their held-out queries the other way round: what they learn elsewhere misleads."""
    head = silent(6)
    users, queries, each = 40, 12, 4
    g = torch.Generator().manual_seed(0)
    h = torch.randn(users, queries * each, 6, generator=g, dtype=torch.float64)
    taste = 2 * torch.randn(users, 6, 1, generator=g, dtype=torch.float64)
    query = torch.arange(queries).repeat_interleave(each).expand(users, -1)
    label = ((h @ taste).squeeze(-1) > 0).double()
    rows = PaddedUsers(h.float(), label.float(), torch.ones(users, queries * each), query)
    contrary = torch.arange(users).unsqueeze(1) % 2 == 0
    label = torch.where(rows.held_out() & contrary, 1 - rows.label, rows.label)
    rows = PaddedUsers(rows.z, label, rows.mask, query)
    tuned = {"precision": [1.0] * 7}
    fitted = solve_heads(head, rows, tuned, FitConfig(), "bce")
    assert fitted.kept_shared_head[::2].float().mean() > 0.8
    assert not fitted.kept_shared_head[1::2].any()
    assert bool((fitted.deltas["out_weight"][fitted.kept_shared_head] == 0).all())
    assert bool((fitted.after > fitted.before)[fitted.kept_shared_head].all())


def test_the_guard_leaves_real_taste_and_takes_back_what_noise_has_taught() -> None:
    """Users whose labels follow the second number, and users whose labels are those of the shared head but for one
    query of many rows, which the others contradict."""
    head = favouring()
    taste = rows_of(TASTE * 2)
    # Early stopping holds out the third query alone here, and one query is never enough for it.
    odd = [HABIT[0], [(FIRST, 0.0), (SECOND, 1.0)] * 20, *HABIT]
    config = FitConfig(l2=1e-4, epochs=60, lr=0.3, early_stop_margin_se=100.0)
    free = config.model_copy(update={"guard": 0})
    kept = solve_heads(head, taste, {"l2": 1e-4}, config, "bce")
    assert not kept.guarded.any()
    assert torch.equal(
        kept.deltas["out_weight"], solve_heads(head, taste, {"l2": 1e-4}, free, "bce").deltas["out_weight"]
    )
    taken = solve_heads(head, rows_of(odd), {"l2": 1e-4}, config, "bce")
    assert (taken.guarded.tolist(), taken.kept_shared_head.tolist()) == ([True], [True])
    assert not any(value.any() for value in taken.deltas.values())
    assert solve_heads(head, rows_of(odd), {"l2": 1e-4}, free, "bce").deltas["out_weight"].any()
