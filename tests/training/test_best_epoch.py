import pytest
import torch

from hydra_ray.training.best_epoch import fit_best_epoch


def line() -> tuple[torch.nn.Linear, torch.Tensor]:
    """y = 2 x, learned from eight points."""
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(model.weight)
    return model, torch.linspace(-1, 1, 8).unsqueeze(-1)


def test_the_epoch_that_serves_held_out_data_best_is_kept() -> None:
    model, x = line()

    def wrong() -> float:  # best at 1, which is passed on the way to 2
        return abs(model.weight.item() - 1)

    found, epoch = fit_best_epoch(
        model, torch.arange(8), lambda places: (model(x[places]) - 2 * x[places]).square().mean(), wrong, 0.1, 40, 4, 0
    )
    assert len(found) == 41
    assert 0 < epoch < 40
    assert found[epoch] == min(found) == pytest.approx(wrong())


def test_where_no_epoch_is_better_the_untrained_weights_stay() -> None:
    model, x = line()
    found, epoch = fit_best_epoch(
        model, torch.arange(8), lambda places: (model(x[places]) - 2 * x[places]).square().mean(),
        lambda: abs(model.weight.item()), 0.1, 3, 4, 0,
    )  # fmt: skip
    assert (epoch, found[0], model.weight.item()) == (0, 0, 0)
