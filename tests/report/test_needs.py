"""The groups of a comparison."""

from hydra_ray.report.methods import GROUPS
from hydra_ray.report.needs import NEEDS, need_of


def test_every_group_of_the_result_table_needs_something_known() -> None:
    assert {need_of(group) for group in GROUPS} <= set(NEEDS)
    assert need_of("trains nothing") == "nothing"
