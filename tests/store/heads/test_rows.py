"""Users and their arrays as rows."""

import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_ray.core.hashing import bucket_of
from hydra_ray.errors import UserError
from hydra_ray.store.heads.head_store import HeadStore
from tests.store.heads.some_heads import same
from tests.store.made_up import SPEC, USERS, constant, heads

ODD = [
    "",
    "'",
    "''; DROP",
    '"',
    "a\\'b",
    "\n",
    "a\x00b",
    "%",
    "_",
    "ä",
    "a\u0308",
    "𝔘",
    "用户",
    " ",
    "null",
    "x" * 5000,
]


@settings(max_examples=15)
@given(users=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True, max_size=20))
def test_any_text_is_a_user_id(users: list[str]) -> None:
    users = list(dict.fromkeys([*users, *ODD[1:]]))
    store = HeadStore.create(f"shared-memory://{uuid.uuid4()}/heads", SPEC)
    store.put(users, heads(len(users)))
    found_N, arrays = store.get(users)
    assert found_N.all()
    assert same(arrays, heads(len(users)))
    store.delete(users[:3])
    assert store.users() == sorted(users[3:])


def test_float16(tmp_path: Path) -> None:
    spec = replace(SPEC, dtype="float16")
    store = HeadStore.create(str(tmp_path / "heads"), spec)
    store.put(USERS, heads(40))
    got = HeadStore.open(str(tmp_path / "heads"), expect=SPEC).get(USERS)[1]
    assert got["out_weight"].dtype == np.float32
    np.testing.assert_allclose(got["out_weight"], heads(40)["out_weight"], rtol=2**-11, atol=3e-8)
    with pytest.raises(UserError, match=r"head of user 'big' holds .* too large for float16"):
        store.put(["big"], constant(1, 70_000.0))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite(tmp_path: Path, bad: float) -> None:
    store = HeadStore.create(str(tmp_path / "heads"), SPEC)
    arrays = heads(3)
    arrays["out_weight"][1, 2, 0] = bad
    with pytest.raises(UserError, match="head of user 'user1' holds NaN, infinity"):
        store.put(USERS[:3], arrays)
    assert store.count() == 0


@pytest.mark.parametrize(
    ("users", "message"),
    [(["a", "b", "a"], "'a' is given twice"), (["a", "", "b"], "'' is no user id and belongs to no bucket"),
     (["a", "\ud800", "b"], "no user id"), (["a", None, "b"], "None is no user id")],
)  # fmt: skip
def test_users_in_no_bucket(tmp_path: Path, users: list[str], message: str) -> None:
    store = HeadStore.create(str(tmp_path / "heads"), SPEC)
    with pytest.raises(UserError, match=message):
        store.put(users, heads(3))


def test_other_buckets_and_arrays(tmp_path: Path) -> None:
    store = HeadStore.create(str(tmp_path / "heads"), SPEC)
    with pytest.raises(UserError, match="has no bucket 4: it has 4, from 0"):
        store.bucket(4)
    own = bucket_of("a", 4)
    with pytest.raises(UserError, match=f"'a' belongs to bucket {own} of 4, not to {(own + 1) % 4}"):
        store.stage_heads((own + 1) % 4, ["a"], heads(1))
    with pytest.raises(UserError, match=r"takes the arrays \['out_bias', 'out_weight'\], got \['up'\]"):
        store.put(["a"], {"up": np.zeros((1, 2), np.float32)})
    with pytest.raises(UserError, match=r"out_weight has the shape \(2, 8, 2\), \(1, 8, 2\) is needed"):
        store.put(["a"], heads(2))
