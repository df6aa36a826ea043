"""Which users a run draws, folds of them, parts of the training users."""

from hydra_ray.core.sampling import UserSample, cross_fit, held_out_users, parts_of, sample_users, shortages
from hydra_ray.core.types import Split

IDS = [f"u{i}" for i in range(60)]


def test_sampling_depends_on_seed_and_ids_alone() -> None:
    some = sample_users({"train": IDS[:40], "test": IDS[40:]}, 1, 10, 5)
    assert some == sample_users({"test": reversed(IDS[40:]), "train": set(IDS[:40])}, 1, 10, 5)
    assert (len(some.train), len(some.test)) == (10, 5)
    assert sample_users({"train": IDS[:40], "test": IDS[40:]}, 2, 10, 5) != some
    more = sample_users({"train": IDS[:40], "test": IDS[40:]}, 1, 20, None)
    assert more.train[:10] == some.train
    assert sorted(more.test) == sorted(IDS[40:])


def test_sampling_is_disjoint_and_gives_what_there_is() -> None:
    drawn = sample_users({"train": IDS, "test": IDS}, 0, 45, 100)
    assert not set(drawn.train) & set(drawn.test)
    assert (len(drawn.train), len(drawn.test)) == (45, 15)
    assert sample_users({"train": []}, 0, 5, 5) == UserSample((), (), {})
    (line,) = shortages(drawn, {"train": 45, "test": 100})
    assert line == "protocol.test_users=100: the data has 15; all of them are taken"
    assert shortages(drawn, {"train": None}) == []


def test_folds_test_every_user_of_both_splits_once_and_train_on_all_the_others() -> None:
    ids: dict[Split, list[str]] = {"train": IDS[:40], "test": IDS[35:]}
    folds = [cross_fit(ids, 3, 7, fold) for fold in range(7)]
    assert sorted(user for fold in folds for user in fold.test) == sorted(IDS)
    assert {len(fold.test) for fold in folds} == {8, 9}
    for fold in folds:
        assert sorted(fold.train + fold.test) == sorted(IDS)
    # A user of both splits is the test split's, whose question is the newer one.
    assert folds[0].source == {**dict.fromkeys(IDS[:35], "train"), **dict.fromkeys(IDS[35:], "test")}
    assert cross_fit({"test": set(IDS[35:]), "train": IDS[:40][::-1]}, 3, 7, 2) == folds[2]
    assert cross_fit(ids, 4, 7, 2).test != folds[2].test


def test_folds_of_fewer_users_are_folds_of_those_drawn_first() -> None:
    few = [cross_fit({"test": IDS}, 0, 3, fold, users=10) for fold in range(3)]
    assert [len(fold.test) for fold in few] == [4, 3, 3]
    more = [cross_fit({"test": IDS}, 0, 3, fold, users=20) for fold in range(3)]
    assert all(set(a.test) < set(b.test) for a, b in zip(few, more, strict=True))
    assert cross_fit({"test": IDS[:1]}, 0, 2, 1).test == ()


SAMPLE = UserSample(tuple("abcde"), ("t",), {**dict.fromkeys("abcde", "train"), "b": "test", "t": "test"})


def test_every_training_user_is_in_one_part_and_among_the_others_of_the_rest() -> None:
    first, second = parts_of(SAMPLE)
    assert (first.number, first.users, second.number, second.users) == (1, ("a", "c", "e"), 2, ("b", "d"))
    assert (first.others.train, second.others.train) == (second.users, first.users)
    assert first.others.source == {"b": "test", "d": "train"}
    # Rows of a part's others are read by user, in whatever step they were made.
    assert first.others.read_as("train") == {"b", "d"}
    assert first.others.test == ()


def test_some_are_held_out_but_never_all() -> None:
    users = [f"u{i}" for i in range(10)]
    found = held_out_users(users, 0.3, 0)
    assert len(found) == 3
    assert found == held_out_users(users[::-1], 0.3, 0) != held_out_users(users, 0.3, 1)
    assert [len(held_out_users(users[:n], 0.3, 0)) for n in (0, 1, 2)] == [0, 0, 1]
