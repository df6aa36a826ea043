"""Many users at once are the users trained alone, by our own code and by peft."""

import pytest
import torch

from hydra_ray.config.lora import LoraConfig
from hydra_ray.models.lora.decoder import Decoder
from hydra_ray.models.lora.shape import LoraWeights
from hydra_ray.training.user_lora.train import LoraProgress, train_task, train_users
from tests.training.user_lora.peft_alone import train_alone
from tests.training.user_lora.some_rows import some_users

CONFIG = LoraConfig(dropout=0.0, lr=5e-3, epochs=3, batch_rows=4, forward_tokens=300, max_tokens=200)
COUNTS = (9, 4, 1, 7, 12)


def apart(one: LoraWeights | None, other: LoraWeights | None) -> float:
    """The largest difference between two users' weights."""
    assert one is not None
    assert other is not None
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def test_one_user_is_trained_as_by_peft(base: Decoder) -> None:
    pytest.importorskip("peft", reason='peft is not installed (pip install --no-deps "peft==0.21.2" accelerate)')
    before = {name: value.clone() for name, value in base.model.state_dict().items()}
    user = some_users(base, COUNTS)[0]
    theirs, losses = train_alone(base, user, CONFIG, seed=3)
    seen: list[LoraProgress] = []
    (ours,) = train_users(base, [user], CONFIG, 3, seen.append)
    assert apart(ours.weights, theirs) < 1e-4
    assert [progress.loss for progress in seen] == pytest.approx(losses, abs=1e-4)
    # It has learned, and moved both matrices away from where they began.
    assert losses[-1] < losses[0] - 0.05
    assert all(float(value.abs().max()) > 1e-3 for value in theirs.values())
    after = base.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("batch_users", [64, 2])
def test_a_user_among_many_is_the_user_alone(base: Decoder, dropout: float, batch_users: int) -> None:
    config = CONFIG.model_copy(update={"dropout": dropout, "batch_users": batch_users})
    users = some_users(base, COUNTS)
    together = train_users(base, users, config, 3)
    assert [found.user_id for found in together] == [user.user_id for user in users]
    for user, found in zip(users, together, strict=True):
        (alone,) = train_users(base, [user], config, 3)
        assert apart(found.weights, alone.weights) < 1e-5
        assert found.train_loss == pytest.approx(alone.train_loss, abs=1e-5)
        assert (found.rows, found.epoch) == (len(user.rows), 3)
    assert apart(together[0].weights, together[1].weights) > 1e-2


def test_dropout_changes_what_is_learned(base: Decoder) -> None:
    user = some_users(base, COUNTS)[:1]
    dropped = CONFIG.model_copy(update={"dropout": 0.3})
    assert apart(train_users(base, user, dropped, 3)[0].weights, train_users(base, user, CONFIG, 3)[0].weights) > 1e-4


def test_the_tasks_lora_is_a_user_with_everybodys_rows(base: Decoder) -> None:
    users = some_users(base, (3, 2))
    config = CONFIG.model_copy(update={"task_epochs": 1, "task_lr": 1e-3})
    found = train_task(base, [row for user in users for row in user.rows], config, 0)
    assert found.weights is not None
    assert {name.split(".")[-2] for name in found.weights} == {"q_proj", "k_proj", "v_proj"}
    assert (found.rows, found.epoch) == (5, 1)
