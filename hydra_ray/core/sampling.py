"""Which users a protocol trains on and evaluates: drawn by seed and id alone."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from hydra_ray.core.hashing import stable_hash
from hydra_ray.core.types import Split


@dataclass(frozen=True, slots=True)
class Trial:
    """One training and its test: a seed and, with cross-fitting (`protocol.folds`), the fold that is tested."""

    seed: int
    fold: int | None = None

    def __str__(self) -> str:
        return f"seed {self.seed}" if self.fold is None else f"seed {self.seed} fold {self.fold}"


@dataclass(frozen=True)
class UserSample:
    """The users that a trial trains on and those it tests; no user is in both.

    source: user -> the split of the data whose items stand for that user. crossed: whether a user's rows are made
    once and read in either role, as the fold wants it.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]
    source: Mapping[str, Split]
    crossed: bool = False

    def of(self, role: Split) -> tuple[str, ...]:
        """The users of a role."""
        return self.train if role == "train" else self.test

    def read_as(self, role: Split) -> frozenset[str] | None:
        """The users whose rows are read in a role; None where rows are made in the role that they are read in."""
        return frozenset(self.of(role)) if self.crossed else None

    def by_source(self, users: Collection[str]) -> list[tuple[Split, set[str]]]:
        """The users of each split of the data."""
        splits: tuple[Split, Split] = ("train", "test")
        return [(split, {user_id for user_id in users if self.source[user_id] == split}) for split in splits]


def shortages(sample: UserSample, wanted: Mapping[Split, int | None]) -> list[str]:
    """A line for each role in which there are fewer users than wanted. wanted: how many at most; None: all."""
    return [
        f"protocol.{role}_users={most}: the data has {len(sample.of(role))}; all of them are taken"
        for role, most in wanted.items()
        if most is not None and len(sample.of(role)) < most
    ]


def held_out_users(users: Collection[str], share: float, seed: int) -> set[str]:
    """A share of the training users that choose among trainings: one at least, but never all; drawn by seed and id."""
    drawn = sorted(users, key=lambda user_id: (stable_hash(seed, "held out", user_id), user_id))
    return set(drawn[: max(0, min(len(drawn) - 1, max(1, round(share * len(drawn)))))])


@dataclass(frozen=True)
class Part:
    """Some of a trial's training users, and all its others.

    Attributes:
        number: From 1.
        users: Of the part.
        others: The sample of the training users outside it, in which no user is tested.
    """

    number: int
    users: tuple[str, ...]
    others: UserSample


def parts_of(sample: UserSample, count: int = 2) -> tuple[Part, ...]:
    """The training users cut into `count` parts, in the order in which they were drawn; a part may be empty.

    What is learned from a part's others knows nothing of the part.
    """
    found = []
    for number in range(count):
        others = tuple(user for i, user in enumerate(sample.train) if i % count != number)
        rest = UserSample(others, (), {user: sample.source[user] for user in others}, True)
        found.append(Part(number + 1, sample.train[number::count], rest))
    return tuple(found)


def _draw(ids: Iterable[str], seed: int, split: str, count: int | None) -> list[str]:
    return sorted(set(ids), key=lambda user_id: (stable_hash(seed, split, user_id), user_id))[:count]


def sample_users(
    ids_by_split: Mapping[Split, Iterable[str]], seed: int, train_users: int | None, test_users: int | None
) -> UserSample:
    """The users of each split that `seed` draws, at most `train_users` and `test_users` (None: all).

    A draw depends on neither the order of the ids nor on how many there are: with more users asked for, the ones drawn
    before stay. Disjoint: an id in both splits, once drawn for training, is not drawn for testing. A split with fewer
    users gives all it has. Who cannot be evaluated (no questions) is to be left out by the caller.
    """
    train = _draw(ids_by_split.get("train", ()), seed, "train", train_users)
    taken = set(train)
    free = (user_id for user_id in ids_by_split.get("test", ()) if user_id not in taken)
    test = _draw(free, seed, "test", test_users)
    return UserSample(tuple(train), tuple(test), {**dict.fromkeys(train, "train"), **dict.fromkeys(test, "test")})


def cross_fit(
    ids_by_split: Mapping[Split, Collection[str]], seed: int, folds: int, fold: int, users: int | None = None
) -> UserSample:
    """Fold `fold` of `folds`: tests about one user in `folds`, trains on all the others.

    Both splits together are cut by the order that `seed` draws, so that folds differ by one user at most and every user
    is tested in exactly one. An id in both splits is one user, with the items of the test split. users: at most so
    many take part. A fold is empty where there are fewer users than folds.
    """
    splits: tuple[Split, Split] = ("train", "test")
    source: dict[str, Split] = {user_id: split for split in splits for user_id in ids_by_split.get(split, ())}
    drawn = _draw(source, seed, "folds", users)
    train = tuple(user_id for i, user_id in enumerate(drawn) if i % folds != fold)
    return UserSample(train, tuple(drawn[fold::folds]), {user_id: source[user_id] for user_id in drawn}, True)
