"""Sums and means of calls."""

from hydra_ray.report.method_costs import Usage


def test_usage_adds_up_and_is_shared_out() -> None:
    total = Usage(1, 10, 2) + Usage(2, 20, 4, unknown=1)
    assert total == Usage(3, 30, 6, 1)
    assert total.tokens == 36
    assert total.over(3) == Usage(1, 10, 2, 1 / 3)
    assert total.over(0) == Usage()
