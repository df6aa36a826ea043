"""A small SVG writer: escaped elements, linear scales, round ticks. Colours are left to the page's style sheet."""

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise

Attribute = str | float | int


def number(value: float) -> str:
    """A coordinate: two decimals, no trailing zeros."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def element(tag: str, *inner: str, **attributes: Attribute) -> str:
    """One element; `_` in attribute names stands for `-`, `cls` for `class`. `inner` is markup: escape text first."""
    pairs = []
    for key, value in attributes.items():
        name = "class" if key == "cls" else key.replace("_", "-")
        shown = number(value) if isinstance(value, float) else str(value)
        pairs.append(f' {name}="{escape(shown, quote=True)}"')
    return f"<{tag}{''.join(pairs)}>{''.join(inner)}</{tag}>"


def text(x: float, y: float, content: str, cls: str = "", anchor: str = "start") -> str:
    """A line of text with its baseline at y."""
    return element("text", escape(content), x=float(x), y=float(y), cls=cls, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, cls: str) -> str:
    return element("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), cls=cls)


def rect(x: float, y: float, width: float, height: float, cls: str, radius: float = 0) -> str:
    return element(
        "rect",
        x=float(x),
        y=float(y),
        width=float(max(width, 0)),
        height=float(max(height, 0)),
        rx=float(radius),
        cls=cls,
    )


def figure(name: str, title: str, description: str, width: int, height: float, *inner: str) -> str:
    """A whole drawing that a screen reader announces by `title` and `description`. `name` is its id on the page."""
    ids = f"{name}-title {name}-description"
    return element(
        "svg",
        element("title", escape(title), id=f"{name}-title"),
        element("desc", escape(description), id=f"{name}-description"),
        *inner,
        viewBox=f"0 0 {width} {number(height)}",
        role="img",
        aria_labelledby=ids,
        cls="chart",
    )


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers that cover [low, high]: at most about `most`, steps of 1, 2, 2.5 or 5 times a power of ten."""
    span = max(high - low, 1e-9)
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if span / (factor * power) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def tick_text(value: float, all_ticks: Sequence[float]) -> str:
    """A tick's label with as many decimals as the step needs."""
    step = min((abs(b - a) for a, b in pairwise(all_ticks)), default=1.0)
    decimals = next((d for d in range(6) if abs(step * 10**d - round(step * 10**d)) < 1e-6), 6)
    return f"{value:.{decimals}f}".replace("-", "\u2212")


class Scale:
    """Linear: numbers in [low, high] to coordinates in [start, end]."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.span, self.start, self.length = low, (high - low) or 1.0, start, end - start

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / self.span * self.length
