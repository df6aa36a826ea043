"""A store of users with some in it."""

from pathlib import Path

from hydra_ray.inference.types import UserKey
from hydra_ray.serve.state.user_store import UserStore
from tests.serve.made_up import item

KEYS = [UserKey("one", f"user {i}") for i in range(12)]


def filled(folder: Path, buckets: int = 1) -> UserStore:
    store = UserStore.create(folder, buckets)
    for number, user in enumerate(KEYS):
        store.append(user, [item(i, f"{user.user_id} says {i} " * 8) for i in range(number)])
    return store
