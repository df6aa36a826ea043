import pytest
import torch

from hydra_ray.models.heads import make_head
from hydra_ray.training.joint import user_head_table
from hydra_ray.training.joint.user_head_table import UserHeadTable


def table_of(users: dict[str, int]) -> UserHeadTable:
    return UserHeadTable(make_head("linear", 3, 1, 0.0), users)


def test_a_bucket_moves_to_another_owner_with_its_optimiser_state() -> None:
    users = {"c": 5, "a": 9, "b": 5}
    table = table_of(users)
    assert table.user_ids == ["b", "c", "a"]
    assert table.buckets == [5, 9]
    rows = torch.tensor([0, 2])
    for _ in range(2):
        taken = table.take(rows)
        torch.autograd.backward(sum((v * v).sum() + v.sum() for v in taken.values()))
        table.update(rows, taken, 0.1)
    other = table_of({"b": 5, "c": 5})
    assert other.users_of(5) == table.users_of(5) == ["b", "c"]
    other.load_state(5, table.state(5))
    for moved, here in ((other, torch.tensor([0, 1])), (table, torch.tensor([0, 1]))):
        taken = moved.take(here)
        torch.autograd.backward(sum((v * v).sum() for v in taken.values()))
        moved.update(here, taken, 0.1)
    for name, value in other.deltas.items():
        assert torch.equal(value, table.deltas[name][:2])
    assert table.steps.tolist() == [3, 1, 2]


def test_the_row_optimiser_is_adam_and_touches_only_its_rows() -> None:
    torch.manual_seed(0)
    table = table_of({"a": 0, "b": 0, "c": 0})
    rows = torch.tensor([0, 2])
    reference = {n: v[rows].clone().requires_grad_() for n, v in table.deltas.items()}
    optimizer = torch.optim.Adam(list(reference.values()), lr=0.1)
    for _ in range(3):
        taken = table.take(rows)
        for n in taken:
            loss = (taken[n] - 1).square().sum()
            loss.backward()
            reference[n].grad = taken[n].grad.clone()
        optimizer.step()
        table.update(rows, taken, 0.1)
    for n, value in table.deltas.items():
        assert torch.allclose(value[rows], reference[n].detach(), atol=1e-6)
        assert bool((value[1] == 0).all())


def stepped(kind: str) -> UserHeadTable:
    """A table after a few steps on some of its rows, in changing company."""
    torch.manual_seed(0)
    table = UserHeadTable(make_head(kind, 6, 2, 0.0), dict.fromkeys("abcde", 0))
    for rows in ([0, 3], [3, 1, 0], [4]):
        index = torch.tensor(rows)
        taken = table.take(index)
        for leaf in taken.values():
            leaf.grad = torch.randn_like(leaf)
        table.update(index, taken, 0.1, scale=0.5)
    return table


@pytest.mark.parametrize("kind", ["dense", "low_rank", "linear"])
def test_rows_in_parts_take_the_step_they_take_together(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    together = stepped(kind).state(0)
    monkeypatch.setattr(user_head_table, "CHUNK", 1)
    apart = stepped(kind).state(0)
    assert together["steps"].tolist() == [2, 1, 0, 2, 1]
    assert all(torch.equal(together[name], apart[name]) for name in together)
