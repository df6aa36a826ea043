"""Many users at once are the users trained alone, by our own code and by peft."""

from pathlib import Path

import pytest
import torch

from hydra_ray.bench.lora_peft import PeftTrainer
from hydra_ray.config.lora import LoraConfig
from hydra_ray.errors import UserError
from hydra_ray.models.lora.decoder import Decoder
from hydra_ray.models.lora.shape import LoraWeights
from hydra_ray.training.user_lora.rows import TokenRow, UserRows
from hydra_ray.training.user_lora.train import LoraProgress, train_task, train_users
from tests.models.lora.small_llama import small_decoder
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
    with PeftTrainer(base, CONFIG, 3) as peft:
        theirs, losses = peft.train(user)
    seen: list[LoraProgress] = []
    (ours,) = train_users(base, [user], CONFIG, 3, seen.append)
    assert apart(ours.weights, theirs) < 1e-4
    assert [progress.loss for progress in seen] == pytest.approx(losses, abs=1e-4)
    # It has learned, and moved both matrices away from where they began.
    assert losses[-1] < losses[0] - 0.05
    assert all(float(value.abs().max()) > 1e-3 for value in theirs.values())
    after = base.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(("dropout", "batch_users"), [(0.0, 64), (0.3, 2)])
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
    found = train_task(base, [row for user in users for row in user.rows], (), config, 0)
    assert found.weights is not None
    assert {name.split(".")[-2] for name in found.weights} == {"q_proj", "k_proj", "v_proj"}
    assert (found.rows, found.epoch) == (5, 1)


def test_other_users_rows_choose_the_epoch_of_the_tasks_lora(base: Decoder) -> None:
    learned, kept = some_users(base, (5, 2))
    config = CONFIG.model_copy(update={"task_epochs": 2, "task_lr": 1e-3, "holdout": 0.5})
    found = train_task(base, learned.rows, kept.rows, config, 0)
    assert (found.rows, found.held_out) == (5, 2)
    assert found.loss_before is not None
    none = train_task(base, learned.rows, kept.rows, config.model_copy(update={"task_lr": 50.0}), 0)
    assert (none.weights, none.epoch) == (None, 0)  # every epoch is worse than the base


def test_held_out_rows_choose_the_epoch(base: Decoder) -> None:
    """Each user's kept weights are those of the best epoch, as trainings of so many epochs give them."""
    config = CONFIG.model_copy(update={"holdout": 0.3, "warmup": 0.0})
    users = some_users(base, (9, 6, 1))
    found = train_users(base, users, config, 0)
    assert [(user.rows, user.held_out) for user in found] == [(6, 3), (4, 2), (1, 0)]
    for user in found[:2]:
        assert user.loss_before is not None
        assert user.loss_after is not None
        assert user.loss_after < user.loss_before
        assert user.weights is not None
        assert user.epoch >= 1
    # A user with one row has none to spare, and keeps the last epoch.
    assert (found[2].loss_before, found[2].loss_after, found[2].epoch) == (None, None, 3)
    assert found[2].weights is not None


def test_what_does_not_beat_the_base_is_not_kept(base: Decoder) -> None:
    """The held-out row wants what the base says by itself, the rows that are learned something else."""
    ids = some_users(base, (1,))[0].rows[0].ids
    prompt = len(ids) - 2
    learned = TokenRow(ids, prompt)
    with torch.no_grad():
        own = int(base.model(torch.tensor([ids[:prompt]])).logits[0, -1].argmax())
    against = TokenRow((*ids[:prompt], own), prompt)
    assert own != ids[prompt]
    config = CONFIG.model_copy(update={"holdout": 0.1, "lr": 0.02})
    users = [UserRows("for", (learned,) * 6), UserRows("against", (*(learned,) * 5, against))]
    kept, dropped = train_users(base, users, config, 0)
    assert kept.epoch >= 1
    assert kept.weights is not None
    assert (dropped.epoch, dropped.weights, dropped.held_out) == (0, None, 1)
    assert dropped.loss_after == dropped.loss_before


def test_a_user_without_rows_has_the_base(base: Decoder) -> None:
    empty, full = train_users(base, some_users(base, (0, 2)), CONFIG, 0)
    assert (empty.weights, empty.rows, empty.epoch, empty.train_loss) == (None, 0, 0, None)
    assert full.weights is not None
    assert train_users(base, [], CONFIG, 0) == []


def test_progress_ends_with_everybody(base: Decoder) -> None:
    seen: list[LoraProgress] = []
    train_users(base, some_users(base, (3, 9, 0)), CONFIG.model_copy(update={"batch_users": 1}), 0, seen.append)
    assert [progress.done for progress in seen] == [1] * 8 + [2] + [2] * 2 + [3]
    assert {progress.users for progress in seen} == {3}


def test_no_memory_for_a_step_is_one_line(base: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*args: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("hydra_ray.training.user_lora.gradients.row_losses", none_left)
    with pytest.raises(
        UserError, match=r"^lora: out of memory on cpu with 5 users at once: lower lora\.forward_tokens"
    ):
        train_users(base, some_users(base, COUNTS), CONFIG, 0)


def test_a_loss_that_is_not_finite_names_the_user(tmp_path: Path) -> None:
    """One token's embedding is broken: only users who have it cannot be trained."""
    broken = small_decoder(tmp_path, tie_word_embeddings=False)
    users = some_users(broken, (2, 2, 2))
    with torch.no_grad():
        broken.model.get_input_embeddings().weight[700] = float("nan")
    bad = tuple(TokenRow((*row.ids[:1], 700, *row.ids[1:]), row.prompt + 1) for row in users[1].rows)
    some = [users[0], UserRows(users[1].user_id, bad), users[2]]
    with pytest.raises(UserError, match=f"the loss in step 0 of user {users[1].user_id!r} is NaN or infinite"):
        train_users(broken, some, CONFIG, 0)
    assert not any(module._forward_hooks for module in broken.model.modules())
    assert len(train_users(broken, [users[0], users[2]], CONFIG, 0)) == 2


def test_a_target_that_the_base_lacks(base: Decoder) -> None:
    with pytest.raises(UserError, match=r"lora\.targets: the base has no linear layer 'query'; it has down_proj"):
        train_users(base, some_users(base, (1,)), CONFIG.model_copy(update={"targets": ("query",)}), 0)


def test_rows_longer_than_the_base_reads(base: Decoder) -> None:
    row = TokenRow(tuple(range(3, 303)), 298)
    with pytest.raises(UserError, match="the base reads 256 tokens at most: set"):
        train_users(base, [UserRows("ann", (row,))], CONFIG, 0)
