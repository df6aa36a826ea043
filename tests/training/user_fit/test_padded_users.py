import numpy as np
import pytest
import torch

from hydra_ray.errors import UserError
from hydra_ray.training.user_fit.padded_users import pad_users


def user(*queries: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pair embeddings that say which row they are, labels, and the rows' queries."""
    rows = np.arange(len(queries), dtype=np.float32)
    return np.stack([rows, rows], 1), np.zeros(len(queries), np.float32), np.asarray(queries)


def padded(*users: tuple[np.ndarray, np.ndarray, np.ndarray]):  # type: ignore[no-untyped-def]
    z, y, q = zip(*users, strict=True)
    return pad_users(z, y, q)


def test_queries_are_counted_in_order_of_appearance_and_rows_without_a_label_are_left_out() -> None:
    z, y, q = user(7, 7, 3, 3, 9)
    y[2:4] = np.nan
    rows = padded((z, y, q), user(1, 2, 1))
    assert rows.query.tolist() == [[0, 0, 1], [0, 1, 0]]
    assert rows.z[:, :, 0].tolist() == [[0, 1, 4], [0, 1, 2]]
    assert rows.mask.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert rows.rows_by_query().tolist() == [[[0, 1], [2, -1]], [[0, 2], [1, -1]]]


def test_the_third_and_every_fourth_query_after_it_is_held_out_whole() -> None:
    many, three, two = user(*[q for q in range(10) for _ in range(2)]), user(0, 1, 2), user(0, 0, 1)
    held_out = padded(many, three, two).held_out()
    assert padded(many).query[0][held_out[0]].tolist() == [2, 2, 6, 6]
    assert held_out[1].nonzero().flatten().tolist() == [2]
    assert not bool(held_out[2].any())


def test_no_users_no_rows_and_no_queries() -> None:
    empty = pad_users([], [])
    assert len(empty) == 0
    empty = pad_users([np.zeros((0, 2), np.float32)], [np.zeros(0, np.float32)])
    assert float(empty.mask.sum()) == 0
    assert not bool(empty.held_out().any())
    assert empty.rows_by_query().tolist() == [[[-1]]]
    assert pad_users([np.zeros((3, 2), np.float32)], [np.zeros(3, np.float32)]).query.tolist() == [[0, 0, 0]]


def test_an_encoding_that_is_not_finite_is_refused_and_its_user_named() -> None:
    bad = user(0, 1)
    bad[0][1, 0] = np.nan
    with pytest.raises(UserError, match=r"pair embeddings of user 1 are NaN or infinite \(1 of 2 users"):
        padded(user(0), bad)


def test_rows_can_be_masked_and_users_picked() -> None:
    rows = padded(user(0, 1, 2), user(0, 0))
    assert rows.only(torch.tensor([[True, False, True]])).mask.tolist() == [[1, 0, 1], [1, 0, 0]]
    assert rows.users(torch.tensor([1])).mask.tolist() == [[1, 1, 0]]
