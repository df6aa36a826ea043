"""Epochs, one descent for all users."""

from dataclasses import replace

import pytest
import torch

from hydra_ray.config import FitConfig
from hydra_ray.models.heads import make_head
from hydra_ray.training.user_fit.analytic_scores import AnalyticScores
from hydra_ray.training.user_fit.batched_adam import Losses, minimize
from hydra_ray.training.user_fit.early_stopping import fit_heads_stopped
from hydra_ray.training.user_fit.fit import fit_heads
from tests.training.user_fit.some_users import draw

BEST = FitConfig(epochs=30, early_stop_margin_se=0)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_every_user_learns_its_own_number_of_epochs_on_all_its_rows() -> None:
    head, rows = make_head("linear", 6, 2, 0.0), draw(4)
    epochs = torch.tensor([7, 0, 30, 2])
    deltas = minimize(head, rows, epochs, BEST, 0.01, "bce")
    for u, count in enumerate(epochs.tolist()):
        if not count:
            assert all(bool((value[u] == 0).all()) for value in deltas.values())
            continue
        alone = fit_heads(head, rows.users(torch.tensor([u])), FitConfig(epochs=count), 0.01)
        assert all(torch.allclose(alone[n][0], deltas[n][u], atol=1e-4) for n in alone)
    result = fit_heads_stopped(head, rows, rows.held_out(), BEST, 0.01)
    again = minimize(head, rows, result.epoch, BEST, 0.01, "bce")
    assert all(torch.equal(again[n], result.deltas[n]) for n in again)


def test_the_held_out_rows_are_not_learned_from_before_they_have_tested_the_fit() -> None:
    head, rows = make_head("linear", 6, 2, 0.0), draw(4)
    held_out = rows.held_out()
    # A margin that nothing exceeds: all learn all epochs, and are tested after them.
    config = FitConfig(epochs=30, early_stop_margin_se=1e9)
    result = fit_heads_stopped(head, rows, held_out, config, 0.01)
    flipped = replace(rows, label=torch.where(held_out, 1 - rows.label, rows.label))
    alone = minimize(head, flipped.only(~held_out), result.epoch, config, 0.01, "bce")
    losses = Losses(rows.only(held_out), "bce")
    assert torch.allclose(losses(AnalyticScores(head, rows.z).of(alone)), result.after, atol=1e-6)
