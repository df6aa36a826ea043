"""The chart of a comparison: quality against the tokens of one answer."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from hydra_ray.report.charts import WIDTH, marker
from hydra_ray.report.methods import FULL, method_of
from hydra_ray.report.svg import Scale, element, figure, line, number, text, tick_text, ticks
from hydra_ray.report.wording import count, metric_title, score

HEIGHT, TOP, BOTTOM = 460.0, 58.0, 52.0
LEFT, RIGHT, FREE = 52.0, WIDTH - 8.0, 64.0
"""FREE: the width of the place of methods that ask nothing, left of a logarithmic axis that has no zero."""
_LETTER, _LINE = 5.7, 12.0  # of a label, in the drawing's units
_ROLES = {"trains nothing": "plain", "others that train": "best", "trains the LLM": "best", "ours": "ours"}
_KEY = {"plain": "needs nothing", "best": "others that train", "ours": "HYDRA's parts", "full": "HYDRA"}


@dataclass(frozen=True, slots=True)
class Point:
    """A method's place in the drawing."""

    name: str
    role: str
    x: float
    y: float


def cost_chart(comparison: Mapping[str, Any]) -> str:
    """A point a method with its interval, and a line through the methods that no other beats in both cost and quality.

    Methods of which some calls' tokens are not known are left out. "" if none is left.
    """
    methods, metric = comparison["methods"], comparison["primary_metric"]
    tokens = {
        name: method["costs"]["answer"]["prompt_tokens"] + method["costs"]["answer"]["completion_tokens"]
        for name, method in methods.items()
        if not method["costs"]["answer"]["unknown"]
    }
    if not tokens:
        return ""
    values = {name: methods[name]["metrics"][metric] for name in tokens}
    ends = [end for name in tokens for end in methods[name]["ci95"] if end is not None]
    marks = ticks(max(0.0, min([*values.values(), *ends])), max([*values.values(), *ends]), 6)
    y = Scale(marks[-1], marks[0], TOP, HEIGHT - BOTTOM)
    parts = [line(LEFT, y(mark), RIGHT, y(mark), "grid") for mark in marks]
    parts += [text(LEFT - 8, y(mark) + 4, tick_text(mark, marks), "tick", "end") for mark in marks]
    x, axis = _token_axis([value for value in tokens.values() if value > 0], 0.0 in tokens.values())
    parts += axis
    points = [Point(name, _role(name), x(tokens[name]), y(values[name])) for name in tokens]
    at = {point.name: point for point in points}
    for point in points:
        low, high = methods[point.name]["ci95"]
        if low is not None and high is not None:
            parts.append(line(point.x, y(low), point.x, y(high), f"span faint {point.role}"))
    path = " ".join(f"{number(at[name].x)},{number(at[name].y)}" for name in comparison["frontier"])
    parts.append(element("polyline", points=path, cls="frontier"))
    for point in points:
        about = f"{point.name}: {score(metric, values[point.name])}, {count(tokens[point.name])} tokens an answer"
        parts.append(element("g", element("title", escape(about)), marker(point.role, point.x, point.y)))
    parts += _labels(points, comparison["frontier"])
    parts += _key({point.role for point in points})
    direction = "higher" if comparison["higher_is_better"] else "lower"
    title = f"{metric_title(metric)} ({direction} is better) against tokens per answer"
    what = "; ".join(f"{name} {score(metric, values[name])} at {count(tokens[name])} tokens" for name in tokens)
    return figure("cost", title, f"{what}. Lines are 95 % intervals over users.", WIDTH, HEIGHT, *parts)


class _Tokens:
    """Tokens to a coordinate: logarithmic, with a place of its own for zero."""

    def __init__(self, scale: Scale, zero: float) -> None:
        self._scale, self._zero = scale, zero

    def __call__(self, tokens: float) -> float:
        return self._scale(math.log10(tokens)) if tokens > 0 else self._zero


def _token_axis(positive: Sequence[float], zero: bool) -> tuple[_Tokens, list[str]]:
    """The scale, and its drawing. positive: tokens above zero. zero: whether a method asks nothing."""
    base, start = HEIGHT - BOTTOM, LEFT + (FREE if zero else 24)
    marks = log_ticks(min(positive, default=10.0), max(positive, default=10.0))
    scale = Scale(math.log10(marks[0]), math.log10(marks[-1]), start + 16, RIGHT - 24)
    parts = [text((LEFT + RIGHT) / 2, HEIGHT - 8, "tokens of prompt and answer, per answer", "tick", "middle")]
    for mark in marks:
        parts.append(line(scale(math.log10(mark)), TOP, scale(math.log10(mark)), base, "grid"))
        parts.append(text(scale(math.log10(mark)), base + 18, f"{mark:,g}", "tick", "middle"))
    middle = LEFT + FREE / 2
    if zero:
        parts += [text(middle, base + 18, "none", "tick", "middle"), line(start, TOP, start, base, "axis cut")]
    return _Tokens(scale, middle), parts


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten: from the last that is not above `low` to the first that is not below `high`, two
    at least. Both are above zero."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    values = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    first = max(i for i, value in enumerate(values) if value <= low)
    last = min(i for i, value in enumerate(values) if value >= high)
    return values[first : max(last, first + 1) + 1]


def _role(name: str) -> str:
    return "full" if name == FULL else _ROLES.get(method_of(name).group, "plain")


def _key(roles: set[str]) -> list[str]:
    """What the markers mean, above the drawing."""
    parts, x = [], LEFT
    for role, words in _KEY.items():
        if role in roles:
            parts += [marker(role, x + 8, 14), text(x + 20, 18, words, "label")]
            x += 150
    return [*parts, text(LEFT, 38, "the line joins the methods that no other beats in both cost and quality", "tick")]


def _labels(points: Sequence[Point], first: Sequence[str]) -> list[str]:
    """The names next to the points, as far as there is room without covering a point or another name.

    first: those that are placed before all others. Every point says its name where a pointer rests on it.
    """
    taken = [(point.x - 6, point.y - 6, point.x + 6, point.y + 6) for point in points]
    placed = []
    for point in sorted(points, key=lambda point: (point.name not in first, point.name != FULL, point.y)):
        width = _LETTER * len(point.name)
        for dx, dy, anchor in _PLACES:
            x, y = point.x + dx, point.y + dy
            left = {"start": x, "end": x - width, "middle": x - width / 2}[anchor]
            box = (left, y - _LINE + 3, left + width, y + 2)
            if box[0] < LEFT or box[2] > WIDTH or not TOP - 8 < y < HEIGHT - BOTTOM:
                continue
            if not any(_meet(box, other) for other in taken):
                taken.append(box)
                strong = " strong" if point.name in first else ""
                placed.append(text(x, y, point.name, f"name{strong}", anchor))
                break
    return placed


_PLACES = (
    (9.0, 4.0, "start"), (-9.0, 4.0, "end"), (0.0, -9.0, "middle"), (0.0, 17.0, "middle"),
    (8.0, -6.0, "start"), (8.0, 13.0, "start"), (-8.0, -6.0, "end"), (-8.0, 13.0, "end"),
    (9.0, -15.0, "start"), (9.0, 23.0, "start"), (-9.0, -15.0, "end"), (-9.0, 23.0, "end"),
)  # fmt: skip
"""Where a name may stand from its point: right, left, above, below, and farther in between."""
_Box = tuple[float, float, float, float]


def _meet(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
