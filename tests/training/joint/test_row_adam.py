"""The fused update of rows: what the CPU's own does, wherever the heads live."""

import pytest
import torch

from hydra_ray.models.heads import make_head
from hydra_ray.training.joint.head_plan import Place
from hydra_ray.training.joint.user_head_table import UserHeadTable

USERS = dict.fromkeys("abcdef", 0)
META = torch.device("meta")
STEPS = ([0, 3], [3, 1, 0], [4], [3, 4], [5, 3])


def trained(kind: str, place: Place | None, *, ahead: bool = False) -> UserHeadTable:
    """A table after a few steps on some of its rows. ahead: the next step's rows are fetched during each."""
    torch.manual_seed(0)
    table = UserHeadTable(make_head(kind, 6, 2, 0.0), USERS, place=place)
    for number, rows in enumerate(STEPS):
        index = torch.tensor(rows)
        taken = table.take(index)
        if ahead and number + 1 < len(STEPS):
            table.prefetch(torch.tensor(STEPS[number + 1]))
        for leaf in taken.values():
            leaf.grad = torch.randn_like(leaf)
        table.update(index, taken, 0.05, scale=0.5)
    return table


@pytest.mark.parametrize("kind", ["linear", "low_rank", "dense"])
@pytest.mark.parametrize(("place", "ahead"), [("device", False), ("host", False), ("host", True)])
def test_the_fused_update_is_the_cpus_own(kind: str, place: Place, ahead: bool) -> None:
    here, there = trained(kind, None).state(0), trained(kind, place, ahead=ahead).state(0)
    assert here.keys() == there.keys()
    for name, value in here.items():
        assert torch.allclose(value, there[name], rtol=0, atol=1e-6), name
    assert here["steps"].tolist() == [2, 1, 0, 4, 2, 1]


@pytest.mark.parametrize("place", ["device", "host"])
def test_a_step_goes_on_from_what_another_place_has_saved(place: Place) -> None:
    before = trained("linear", None)
    table = UserHeadTable(make_head("linear", 6, 2, 0.0), USERS, place=place)
    table.load_state(0, before.state(0))
    for name, value in before.state(0).items():
        assert torch.equal(table.state(0)[name], value), name


def test_a_step_on_a_device_copies_nothing_to_the_cpu() -> None:
    """What lies on `meta` has no numbers: any look at them raises."""
    table = UserHeadTable(make_head("dense", 6, 2, 0.0), USERS, META)
    assert {value.device for part in (table.deltas, table.first, table.second) for value in part.values()} == {META}
    rows = torch.tensor([1, 4])
    taken = table.take(rows)
    for leaf in taken.values():
        assert leaf.device == META
        leaf.grad = torch.ones_like(leaf)
    table.update(rows, taken, 0.1)
    with pytest.raises(NotImplementedError):
        table.state(0)
