"""What a step's method has returned is kept by its arguments."""

import pytest

from hydra_ray.pipeline.once import once


class Counted:
    def __init__(self) -> None:
        self.kept: dict[object, object] = {}
        self.calls: list[tuple[str, int]] = []

    @once
    def step(self, name: str, number: int = 0) -> list[str]:
        """Says what it was asked for."""
        self.calls.append((name, number))
        if number < 0:
            raise ValueError(name)
        return [name]


def test_each_is_worked_out_once() -> None:
    one = Counted()
    assert one.step("a") is one.step("a")
    assert one.step("a", number=2) is one.step("a", number=2) is not one.step("a")
    assert one.calls == [("a", 0), ("a", 2)]
    assert Counted().step("a") is not one.step("a")
    assert Counted.step.__doc__ == "Says what it was asked for."


def test_a_failure_is_not_kept() -> None:
    one = Counted()
    for _ in range(2):
        with pytest.raises(ValueError, match="a"):
            one.step("a", -1)
    assert len(one.calls) == 2
