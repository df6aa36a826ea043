"""Heads of which each version can be told."""

from hydra_ray.store.heads.head_store import HeadStore
from tests.store.made_up import USERS, numbers


def generation(store: HeadStore) -> float:
    """The one number that all heads of all users are."""
    found_N, arrays = store.get(USERS)
    assert found_N.all()
    values = set(numbers(arrays).tolist())
    assert len(values) == 1, f"a mixture of versions: {values}"
    return float(values.pop())
