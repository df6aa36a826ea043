"""One forward for rows of many users, and a base that stays as it is."""

import torch

from hydra_ray.models.lora.decoder import Decoder
from hydra_ray.models.lora.merge import add_lora
from hydra_ray.models.lora.shape import LoraShape, LoraWeights, stack
from hydra_ray.models.lora.stacked import StackedLora
from tests.models.lora.small_llama import small_decoder

IDS = torch.randint(3, 500, (4, 9), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def logits(base: Decoder, ids: torch.Tensor = IDS) -> torch.Tensor:
    found: torch.Tensor = base.model(ids).logits
    return found


def users_of(shape: LoraShape, trained: LoraWeights) -> list[LoraWeights]:
    """Three users, the first of whom is the base."""
    return [shape.initial(0, "a"), trained, {name: -value for name, value in trained.items()}]


def test_a_row_is_its_users(base: Decoder, shape: LoraShape, trained: LoraWeights, tmp_path) -> None:  # type: ignore[no-untyped-def]
    users, user_B = users_of(shape, trained), torch.tensor([2, 0, 1, 2])
    plain = logits(base)
    with StackedLora(base.model, shape, stack(users)) as lora:
        with lora.of_users(user_B):
            mixed = logits(base)
        assert torch.equal(logits(base), plain)
    assert torch.allclose(mixed[1], plain[1], atol=1e-6)
    for user in (1, 2):
        merged = small_decoder(tmp_path / str(user))
        add_lora(merged.model, shape, users[user])
        rows = user_B == user
        assert torch.allclose(mixed[rows], logits(merged)[rows], atol=1e-4)
        assert not torch.allclose(mixed[rows], plain[rows], atol=1e-2)


def test_one_user_takes_the_same_way_as_many(base: Decoder, shape: LoraShape, trained: LoraWeights) -> None:
    found = []
    for users, user in (([trained], 0), ([trained, trained], 1)):
        with StackedLora(base.model, shape, stack(users)) as lora, lora.of_users(torch.full((4,), user)):
            found.append(logits(base))
    assert torch.allclose(found[0], found[1], atol=1e-5)


def test_gradients_reach_the_rows_users_alone(base: Decoder, shape: LoraShape, trained: LoraWeights) -> None:
    with StackedLora(base.model, shape, stack(users_of(shape, trained))) as lora:
        with lora.of_users(torch.tensor([1, 1, 1, 1])):
            base.model(IDS).logits.square().mean().backward()
        gradient = lora.weights["model.layers.0.self_attn.q_proj.lora_A"].grad
    assert gradient is not None
    assert [bool(part.any()) for part in gradient] == [False, True, False]
    assert all(weight.grad is None for weight in base.model.parameters())


def test_the_base_is_left_as_it_was(base: Decoder, shape: LoraShape, trained: LoraWeights) -> None:
    before, names = logits(base), [name for name, _ in base.model.named_parameters()]
    try:
        with StackedLora(base.model, shape, stack([trained])) as lora, lora.of_users(torch.zeros(4, dtype=torch.int64)):
            raise KeyError
    except KeyError:
        pass
    assert torch.equal(logits(base), before)
    assert [name for name, _ in base.model.named_parameters()] == names
    assert not any(module._forward_hooks for module in base.model.modules())
