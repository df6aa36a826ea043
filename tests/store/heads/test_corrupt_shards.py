"""Broken shards are named, and healed by a new fit."""

from pathlib import Path

import numpy as np
import pytest

from hydra_ray.errors import UserError
from hydra_ray.store.heads.head_store import HeadStore
from tests.store.heads.whole_store import current
from tests.store.made_up import USERS, heads


def test_verify_names_every_bad_shard_and_a_new_fit_heals(folder: Path) -> None:
    gone, flipped = current(folder, "data file")
    gone.unlink()
    raw = flipped.read_bytes()
    at = raw.index(heads(10, seed=1)["out_weight"][4].tobytes()[:16]) if len(raw) < 3000 else 200
    flipped.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
    store = HeadStore.open(str(folder))
    faults = {fault.file: fault for fault in store.verify()}
    assert set(faults) == {f"data/{gone.name}", f"data/{flipped.name}"}
    assert faults[f"data/{gone.name}"].buckets == (0, 1, 2, 3)
    assert len(faults[f"data/{flipped.name}"].buckets) == 1
    with pytest.raises(UserError, match=r"bucket.* 0.*put the file back, or fit the users of the bucket again"):
        store.bucket(0)
    store.put(USERS, heads(40, seed=5))
    assert store.verify() == []
    assert np.array_equal(store.get(USERS)[1]["out_bias"], heads(40, seed=5)["out_bias"])
