"""Which users a protocol trains on and evaluates: drawn by seed and id alone."""

from collections.abc import Iterable, Mapping

from hydra_ray.core.draws import stable_draw
from hydra_ray.core.records import Split


def _draw(ids: Iterable[str], seed: int, split: Split, count: int | None) -> list[str]:
    return sorted(set(ids), key=lambda user_id: (stable_draw(seed, split, user_id), user_id))[:count]


def sample_users(
    ids_by_split: Mapping[Split, Iterable[str]], seed: int, train_users: int | None, test_users: int | None
) -> dict[Split, list[str]]:
    """The user ids of each split that `seed` draws, at most `train_users` and `test_users` (None: all).

    A draw depends on neither the order of the ids nor on how many there are: with more users asked for, the ones drawn
    before stay. Disjoint: an id in both splits, once drawn for training, is not drawn for testing. A split with fewer
    users gives all it has. Who cannot be evaluated (no questions) is to be left out by the caller.
    """
    train = _draw(ids_by_split.get("train", ()), seed, "train", train_users)
    taken = set(train)
    free = (user_id for user_id in ids_by_split.get("test", ()) if user_id not in taken)
    return {"train": train, "test": _draw(free, seed, "test", test_users)}
