"""The heads bench, on tables that are too small to say anything about time."""

from argparse import Namespace

import pytest
import torch

from hydra_ray.bench import heads


def test_both_sides_agree_and_a_wrong_one_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    assert heads.check_equal(16) < heads.TOLERANCE
    right = heads.one_hot_step

    def other_users(head, table, batch):  # type: ignore[no-untyped-def]
        return right(head, table, (batch[0], batch[1], batch[2].roll(1)))

    monkeypatch.setattr(heads, "one_hot_step", other_users)
    with pytest.raises(RuntimeError, match="differ"):
        heads.check_equal(16)


def test_figures() -> None:
    threads = torch.get_num_threads()
    try:
        result = heads.run(Namespace(max_users=100, width=16, repeats=1))
    finally:
        torch.set_num_threads(threads)
    assert list(result["dense"]) == ["50", "100"]
    assert result["ratio"] == result["dense"]["100"]["ratio"]
    assert list(result["linear"]) == ["50"]
    assert set(result["flat"]) == set(result["update_ms"]) == {"dense", "low_rank", "linear"}
    assert result["threads"] == 1


def test_a_batch_has_as_many_users_as_there_are() -> None:
    for users, different in ((50, 50), (64, 64), (1000, 64)):
        assert len(torch.unique(heads.make_batch(users, 4)[2])) == different
