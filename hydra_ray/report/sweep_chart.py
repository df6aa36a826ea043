"""The chart of a sweep: the metric of the main methods against the value, with intervals."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from hydra_ray.report.charts import WIDTH, marker, series
from hydra_ray.report.methods import FULL, method_of
from hydra_ray.report.svg import Scale, figure, line, text, tick_text, ticks
from hydra_ray.report.wording import metric_title, score

PANEL, TOP = 290.0, 34.0
LEFT, RIGHT = 52.0, WIDTH - 4.0
ROLES = ("full", "best", "ours", "plain")
"""What lines and markers look like."""


def sweep_chart(sweep: Mapping[str, Any]) -> str:
    """One panel for each combination of all keys but the first, whose values lie along the axis. Values that are
    numbers are joined by lines."""
    metric, names = sweep["primary_metric"], sweep["methods"]
    (key, values), *others = sweep["axes"].items()
    combinations = list(product(*(choices for _, choices in others)))
    done = [point for point in sweep["points"] if "methods" in point]
    shown = [method for point in done for method in point["methods"].values()]
    ends = [end for method in shown for end in (method["value"], *method["ci95"]) if end is not None]
    marks = ticks(max(0.0, min(ends)), max(ends), 5) if ends else ticks(0.0, 1.0, 5)  # no run shows them yet
    parts = _key(names)
    for place, combination in enumerate(combinations):
        at = dict(zip((name for name, _ in others), combination, strict=True))
        inside = [point for point in done if at.items() <= point["values"].items()]
        parts += _panel(key, values, at, inside, names, marks, TOP + place * PANEL)
    described = (
        " ".join(f"{name}={value}" for name, value in point["values"].items())
        + ": "
        + ", ".join(f"{name} {score(metric, method['value'])}" for name, method in point["methods"].items())
        for point in done
    )
    height = TOP + PANEL * len(combinations)
    return figure("sweep", f"{metric_title(metric)} by {key}", "; ".join(described), WIDTH, height, *parts)


def _panel(
    key: str,
    values: Sequence[str],
    at: Mapping[str, str],
    points: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    marks: Sequence[float],
    top: float,
) -> list[str]:
    """at: the other keys' values. marks: of the vertical axis."""
    head = 26.0 if at else 8.0
    y = Scale(marks[-1], marks[0], top + head, top + PANEL - 54)
    parts = [text(LEFT, top + 14, ", ".join(f"{name}={value}" for name, value in at.items()), "group")] if at else []
    parts += [line(LEFT, y(mark), RIGHT, y(mark), "grid") for mark in marks]
    parts += [text(LEFT - 8, y(mark) + 4, tick_text(mark, marks), "tick", "end") for mark in marks]
    slot = (RIGHT - LEFT) / len(values)
    middle = {value: LEFT + (i + 0.5) * slot for i, value in enumerate(values)}
    parts += [text(x, top + PANEL - 34, value, "label", "middle") for value, x in middle.items()]
    parts.append(text((LEFT + RIGHT) / 2, top + PANEL - 14, key, "tick", "middle"))
    roles = roles_of(names)
    for place, name in enumerate(names):
        dodge = (place - (len(names) - 1) / 2) * min(12.0, slot / 8)
        found = [point for point in points if name in point["methods"]]
        centres = [middle[point["values"][key]] + dodge for point in found]
        shown = [point["methods"][name] for point in found]
        parts += series(roles[name], centres, shown, y, joined=all(map(_is_number, values)))
    return parts


def roles_of(names: Sequence[str]) -> dict[str, str]:
    """What each method looks like: HYDRA's parts and what trains nothing differ; of many some look alike."""
    found: dict[str, str] = {}
    for name in sorted(names, key=lambda name: method_of(name).group != "ours"):
        wished = "full" if name == FULL else "ours" if method_of(name).group == "ours" else "plain"
        free = [role for role in (wished, *ROLES[1:]) if role not in found.values()]
        found[name] = free[0] if free else wished
    return found


def _key(names: Sequence[str]) -> list[str]:
    parts, step, roles = [], (RIGHT - LEFT) / max(4, len(names)), roles_of(names)
    for i, name in enumerate(names):
        parts += [
            marker(roles[name], LEFT + i * step + 8, 14),
            text(LEFT + i * step + 20, 18, method_of(name).title, "label"),
        ]
    return parts


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
