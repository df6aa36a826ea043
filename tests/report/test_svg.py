"""Axes."""

from hydra_ray.report.svg import tick_text, ticks


def test_ticks_cover_the_range() -> None:
    for low, high in ((0, 1), (0, 0.0371), (-0.4, 0.7), (0, 83.2), (0.5, 0.5)):
        marks = ticks(low, high)
        assert marks[0] <= low
        assert marks[-1] >= high - 1e-9
        assert len(marks) <= 9
    assert [tick_text(mark, [0, 0.25, 0.5]) for mark in (0, 0.25)] == ["0.00", "0.25"]
