"""How many users are fitted at once."""

import pytest

from hydra_ray.training.user_fit.batch_sizes import BatchSizes


def cut(sizes: BatchSizes, rows: list[int]) -> list[list[int]]:
    return [rows[part] for part in sizes.cut(rows)]


def test_on_the_cpu_a_number_of_users_decides() -> None:
    sizes = BatchSizes(2, None, 68, 138)
    assert cut(sizes, [9, 0, 500, 1, 1]) == [[9, 0], [500, 1], [1]]
    assert cut(sizes, []) == []
    assert [sizes.full([1] * count) for count in (1, 2, 3)] == [False, True, True]


def test_bytes_of_a_user_grow_with_rows_width_and_head() -> None:
    plain = BatchSizes(1, 1, 68, 138).user_bytes(100)
    assert plain == 4 * (10 * 100 * 69 + 10 * 138 + 4 * 69**2) + 24 * 100**2
    wide = BatchSizes(1, 1, 768, 138).user_bytes(100)
    assert wide == 4 * (10 * 100 * 769 + 10 * 138 + 4 * 100**2) + 24 * 100**2
    assert BatchSizes(1, 1, 68, 4830).user_bytes(100) - plain == 40 * (4830 - 138)


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (10, [[3, 3, 3, 3, 1, 1]]),
        (3, [[3, 3, 3], [3, 1, 1]]),
        (1, [[3], [3], [3], [3], [1], [1]]),
        (0, [[3], [3], [3], [3], [1], [1]]),
    ],
)
def test_on_a_device_memory_decides(budget: int, expected: list[list[int]]) -> None:
    each = BatchSizes(1, 0, 8, 18).user_bytes(3)
    sizes = BatchSizes(100, budget * each, 8, 18)
    assert cut(sizes, [3, 3, 3, 3, 1, 1]) == expected
    assert sizes.full([3, 3, 3, 3, 1, 1]) == (len(expected) > 1)


def test_a_user_with_many_rows_makes_the_batch_smaller_for_all() -> None:
    sizes = BatchSizes(100, 4 * BatchSizes(1, 0, 8, 18).user_bytes(10), 8, 18)
    assert cut(sizes, [1, 1, 1, 1, 10, 1]) == [[1, 1, 1, 1], [10, 1]]
