"""However a step's rows are cut, and whether they share their beginning: the gradients are the same."""

from collections.abc import Sequence

import pytest
import torch

from hydra_ray.models.lora.decoder import Decoder
from hydra_ray.models.lora.shape import LoraWeights, shape_of, stack
from hydra_ray.models.lora.stacked import StackedLora
from hydra_ray.training.user_lora.gradients import StepGradients, StepRow
from hydra_ray.training.user_lora.losses import RowBatch, row_losses
from hydra_ray.training.user_lora.rows import TokenRow
from hydra_ray.training.user_lora.shared_prefix import SHORTEST, SharedPrefix, common_tokens
from tests.training.user_lora.some_rows import some_users

COUNTS = (3, 1, 4)


def rows_of_step(base: Decoder, key: int | None = None) -> list[StepRow]:
    users = some_users(base, COUNTS)
    return [StepRow(place, row, key) for place, user in enumerate(users) for row in user.rows]


def random_weights(base: Decoder) -> list[LoraWeights]:
    shape = shape_of(base.model, 4, 8.0, ("q_proj", "v_proj"))
    torch.manual_seed(1)
    return [{name: torch.randn(size) * 0.2 for name, size in shape.arrays.items()} for _ in COUNTS]


def gradients(
    base: Decoder, rows: Sequence[StepRow], forward_tokens: int, dropout: float = 0.0
) -> tuple[torch.Tensor, LoraWeights]:
    shape = shape_of(base.model, 4, 8.0, ("q_proj", "v_proj"))
    with StackedLora(base.model, shape, stack(random_weights(base)), dropout) as lora:
        loss = StepGradients(base, lora, forward_tokens).add(rows, len(COUNTS))
        return loss, {name: value.grad for name, value in lora.weights.items() if value.grad is not None}


def plainly(base: Decoder, rows: Sequence[StepRow]) -> tuple[torch.Tensor, LoraWeights]:
    """Row by row, whole."""
    shape = shape_of(base.model, 4, 8.0, ("q_proj", "v_proj"))
    tokens = torch.zeros(len(COUNTS))
    loss = torch.zeros(len(COUNTS))
    with StackedLora(base.model, shape, stack(random_weights(base))) as lora:
        for row in rows:
            tokens[row.user] += row.row.learned
        for row in rows:
            with lora.of_users(torch.tensor([row.user])):
                one = row_losses(base.model, RowBatch.of([row.row], base.device))[0] / tokens[row.user]
            one.backward()
            loss[row.user] += one.detach()
        return loss, {name: value.grad for name, value in lora.weights.items() if value.grad is not None}


@pytest.mark.parametrize("forward_tokens", [1, 130, 10_000])
def test_as_row_by_row(base: Decoder, forward_tokens: int) -> None:
    rows = rows_of_step(base)
    assert common_tokens([row.row for row in rows]) >= SHORTEST
    (loss, found), (expected_loss, expected) = gradients(base, rows, forward_tokens), plainly(base, rows)
    assert torch.allclose(loss, expected_loss, atol=1e-5)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.allclose(found[name], value, atol=1e-5, rtol=1e-3)
        assert all(part.any() for part in value)


def test_with_dropout_nothing_is_shared(base: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("shared")

    monkeypatch.setattr(SharedPrefix, "of_users", refused)
    gradients(base, rows_of_step(base, key=3), 1000, dropout=0.1)
    with pytest.raises(AssertionError, match="shared"):
        gradients(base, rows_of_step(base), 1000)


def test_common_tokens() -> None:
    rows = [TokenRow((1, 2, 3, 4, 9, 8), 5), TokenRow((1, 2, 3, 5, 9), 4), TokenRow((1, 2, 3, 4, 7), 4)]
    assert common_tokens(rows) == 3
    assert common_tokens([rows[0], TokenRow((1, 2, 9), 2)]) == 1
    # The last token of a prompt predicts the answer's first, and is not shared.
    assert common_tokens([rows[0]] * 2) == 4
    assert common_tokens([TokenRow((1, 2), 1), rows[0]]) == 0


def test_a_model_that_keeps_other_states_shares_nothing(base: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one with sliding windows, whose older tokens are gone."""
    from transformers.cache_utils import DynamicLayer

    class Sliding(DynamicLayer):
        pass

    rows = rows_of_step(base)
    expected = plainly(base, rows)[1]
    monkeypatch.setattr("transformers.cache_utils.DynamicLayer", Sliding)
    found = gradients(base, rows, 1000)[1]
    assert all(torch.allclose(found[name], value, atol=1e-5, rtol=1e-3) for name, value in expected.items())
