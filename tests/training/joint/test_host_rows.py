"""Rows of a table in memory, worked on elsewhere; here on the CPU, where the order of steps is the same."""

import torch

from hydra_ray.training.joint.host_rows import HostRows

CPU = torch.device("cpu")


def test_rows_come_in_the_order_asked() -> None:
    table = torch.arange(8.0).view(4, 2)
    rows = HostRows([{"w": table}], CPU)
    assert rows.take(torch.tensor([3, 0]))[0]["w"].tolist() == [[6.0, 7.0], [0.0, 1.0]]


def test_what_was_worked_on_meanwhile_is_in_what_was_fetched_ahead() -> None:
    table = torch.zeros(4, 2)
    rows = HostRows([{"w": table}], CPU)
    now, following = torch.tensor([0, 1]), torch.tensor([1, 2])
    found = rows.take(now)
    rows.prefetch(following)
    rows.put(now, [{"w": found[0]["w"] + 1}])
    assert rows.take(following)[0]["w"].tolist() == [[1.0, 1.0], [0.0, 0.0]]
    rows.settle()
    assert table.tolist() == [[1.0, 1.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]


def test_other_rows_than_those_fetched_ahead_are_fetched_as_they_are_now() -> None:
    table = torch.zeros(3, 1)
    rows = HostRows([{"w": table}], CPU)
    rows.prefetch(torch.tensor([2]))
    rows.put(torch.tensor([0]), [{"w": torch.ones(1, 1)}])
    assert rows.take(torch.tensor([0]))[0]["w"].tolist() == [[1.0]]
    assert table[0].tolist() == [1.0]


def test_all_parts_of_a_table_move_together() -> None:
    head, moment = torch.zeros(2, 1), torch.zeros(2, 3)
    rows = HostRows([{"w": head}, {"m": moment}], CPU)
    rows.put(torch.tensor([1]), [{"w": torch.ones(1, 1)}, {"m": torch.full((1, 3), 2.0)}])
    rows.settle()
    assert head.flatten().tolist() == [0.0, 1.0]
    assert moment[1].tolist() == [2.0, 2.0, 2.0]
