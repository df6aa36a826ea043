"""One value out of a text in which values are private characters."""

import pytest

from hydra_ray.core.answers.verdict import mark, resolve_value, unmarked

A, B = mark(0), mark(1)
NAMES = ("tag", "answer")


@pytest.mark.parametrize(
    ("masked", "value"),
    [
        (f"{A}.", 0),
        (f"1. **{B}**", 1),
        (f"it is about {B}, i believe", 1),
        (f"{A}\n{B}", None),
        (f"it may be {A} or {B}", None),
        (f"is it {A}?", None),
        (f"it is not {A}", None),
        (f"it is {A} without doubt", 0),
        (f"{A} and {B} are both possible. the most likely tag is {B}", 1),
        (f"tag: {A}\ntag: {B}", None),
        (f"tag: {A}\nfinal answer: {B}", 1),
        (f"{A}. actually, {B}.", None),
        ("no value at all", None),
    ],
)
def test_final_then_announced_then_bare_then_mentioned(masked: str, value: int | None) -> None:
    assert resolve_value(masked, NAMES) == value


def test_units_say_nothing() -> None:
    text = f"{A} stars. i bought {B} of them"
    assert resolve_value(text, NAMES, "stars?") == 0
    assert resolve_value(text, NAMES) is None


def test_private_characters_of_a_text_are_no_values() -> None:
    assert unmarked(f"a{mark(3)}b{mark(65_000)}") == "ab"
