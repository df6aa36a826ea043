"""Cutting training users: parts that others learn without, and those who choose among trainings."""

from hydra_ray.core.sampling import UserSample, held_out_users, parts_of

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
