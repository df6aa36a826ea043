"""Tables for the terminal."""

from hydra_ray.report.plain_text import aligned


def test_columns_are_aligned_and_groups_have_titles() -> None:
    assert aligned(["name", "n"], [("first", [["a", "1"]]), ("", [["longer", "20"]])]) == [
        "name     n",
        "------  --",
        "first",
        "a        1",
        "------  --",
        "longer  20",
    ]
