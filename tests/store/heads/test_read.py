import numpy as np
import pyarrow as pa
import pytest

from hydra_ray.store.heads.read import FaultyRowError, gather, gather_bucket
from hydra_ray.store.heads.rows import to_table
from tests.store.made_up import SPEC, constant


def batch(users: list[str], value: float, addresses: list[int]) -> pa.RecordBatch:
    rows = to_table(SPEC, users, constant(len(users), value)).to_batches()[0]
    return rows.append_column("_rowaddr", pa.array(addresses, pa.uint64()))


@pytest.mark.parametrize("reverse", [False, True])
def test_the_newest_row_of_a_user_counts(reverse: bool) -> None:
    """Within a batch and between batches, in whatever order they come."""
    old, new = batch(["a", "b"], 1.0, [5, 6]), batch(["a", "c"], 2.0, [1 << 32, (1 << 32) + 1])
    batches = [new, old] if reverse else [old, new]
    for some in (batches, pa.Table.from_batches(batches).combine_chunks().to_batches()):
        found_N, values_NP = gather(SPEC, some, ["a", "b", "x", "a", "c"])
        assert found_N.tolist() == [True, True, False, True, True]
        assert values_NP[:, 0].tolist() == [2.0, 1.0, 0.0, 2.0, 2.0]


def test_bucket_keeps_one_row_a_user() -> None:
    users = [user for user in "abcdefgh" if to_table(SPEC, [user], constant(1, 0.0))["bucket"][0].as_py() == 2]
    batches = [batch(users, 2.0, list(range(100, 100 + len(users)))), batch(users[:1], 1.0, [3])]
    got, values_NP = gather_bucket(SPEC, batches, 2)
    assert (got, set(values_NP[:, 0].tolist())) == (users, {2.0})
    with pytest.raises(FaultyRowError, match="rows of another bucket for bucket 1"):
        gather_bucket(SPEC, batches, 1)


def test_what_was_not_asked_for_or_not_written() -> None:
    with pytest.raises(FaultyRowError, match="gave user 'b' for another"):
        gather(SPEC, [batch(["b"], 1.0, [1])], ["a"])
    row = batch(["a"], 1.0, [1])
    wrong = row.set_column(2, "crc", pa.array(row["crc"].to_numpy() + np.uint32(1)))
    with pytest.raises(FaultyRowError, match="checksum"):
        gather(SPEC, [wrong], ["a"])
    other = row.set_column(1, "bucket", pa.array([row["bucket"][0].as_py() + 1], pa.int32()))
    with pytest.raises(FaultyRowError, match="user 'a' belongs to bucket"):
        gather(SPEC, [other], ["a"])
