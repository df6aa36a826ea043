"""What a report counts."""

from hydra_ray.pipeline.report_step import train_users


def test_training_users_are_all_seeds_or_a_folds_mean() -> None:
    assert train_users([("a", "b"), ("b", "c")], False) == 3
    assert train_users([("a", "b", "c"), ("c", "d"), ("a", "d")], True) == 2
