import pytest
import torch

from hydra_ray.models.heads import Head
from hydra_ray.train import head_table
from hydra_ray.train.head_table import HeadTable


def stepped(kind: str) -> HeadTable:
    """A table after a few steps on some of its rows, in changing company."""
    torch.manual_seed(0)
    table = HeadTable(Head(kind, 6, 2, 0.0), list("abcde"))  # type: ignore[arg-type]
    for rows in ([0, 3], [3, 1, 0], [4]):
        index = torch.tensor(rows)
        taken = table.take(index)
        for leaf in taken.values():
            leaf.grad = torch.randn_like(leaf)
        table.update(index, taken, 0.1, scale=0.5)
    return table


@pytest.mark.parametrize("kind", ["dense", "low_rank", "linear"])
def test_rows_in_parts_take_the_step_they_take_together(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    together = stepped(kind).state()
    monkeypatch.setattr(head_table, "CHUNK", 1)
    apart = stepped(kind).state()
    assert all(torch.equal(together[name], apart[name]) for name in together)


def test_rows_that_no_batch_took_stay_as_they_were() -> None:
    state = stepped("dense").state()
    assert state["steps"].tolist() == [2, 1, 0, 2, 1]
    assert all(bool((value[2] == 0).all()) for value in state.values())
    assert all(bool((value[4] != 0).all()) for name, value in state.items() if name.startswith("delta"))
