"""The charts of report.html, drawn as SVG from report.json alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra_ray.report.methods import FULL, GROUPS, method_of
from hydra_ray.report.svg import Scale, element, figure, line, number, rect, text, tick_text, ticks
from hydra_ray.report.wording import incomplete, metric_title, percent, score

WIDTH = 760
_ROW, _HEAD = 26, 30
_MOST_BARS = 600


def methods_chart(report: Mapping[str, Any]) -> str:
    """Bars from zero with intervals, one per method, those that train nothing above ours."""
    metric, best = report["primary_metric"], report["best_prompt_method"]
    names, ci95 = list(report["methods"]), report["methods_ci95"]
    values = {name: report["methods"][name][metric] for name in names}
    attainable = (report["attainable"] or {}).get(metric)
    top = 44.0 if attainable is not None else 26.0
    groups = [(group, [name for name in names if method_of(name).group == group]) for group in GROUPS]
    groups = [(group, members) for group, members in groups if members]
    height = top + sum(_HEAD + _ROW * len(members) for _, members in groups) + 34
    bottom = height - 30
    marks = ticks(0, max([*(high or 0 for _, high in ci95.values()), attainable or 0, 1e-6]))
    x = Scale(0, marks[-1], 178, WIDTH - 142)
    parts = [line(x(mark), top, x(mark), bottom, "grid") for mark in marks]
    parts += [text(x(mark), bottom + 16, tick_text(mark, marks), "tick", "middle") for mark in marks]
    y = top
    for group, members in groups:
        parts.append(text(0, y + 19, group, "group"))
        y += _HEAD
        for name in members:
            parts += _method_row(report, name, values[name], ci95[name], x, y)
            y += _ROW
    if best is not None:
        parts.append(line(x(values[best]), top, x(values[best]), bottom, "reference"))
        parts.append(
            text(x(values[best]), top - 8, f"best without training: {score(metric, values[best])}", "note", "middle")
        )
    if attainable is not None:
        anchor = "end" if x(attainable) > WIDTH / 2 else "start"
        parts.append(line(x(attainable), top - 18, x(attainable), bottom, "attainable"))
        parts.append(text(x(attainable), top - 24, f"attainable: {score(metric, attainable)}", "note", anchor))
    direction = "higher" if report["higher_is_better"] else "lower"
    title = f"{metric_title(metric)} by method ({direction} is better)"
    described = "; ".join(f"{name} {score(metric, values[name])}{incomplete(report, name)}" for name in names)
    return figure("methods", title, f"{described}. Whiskers are 95 % intervals over users.", WIDTH, height, *parts)


def _method_row(
    report: Mapping[str, Any], name: str, value: float, ends: Sequence[float | None], x: Scale, y: float
) -> list[str]:
    metric = report["primary_metric"]
    role = "full" if name == FULL else "ours" if method_of(name).group == "ours" else "plain"
    low, high = (value if end is None else end for end in ends)
    middle = y + _ROW / 2 - 2
    strong = " strong" if name in (FULL, report["best_prompt_method"]) else ""
    return [
        text(
            168,
            middle + 4,
            method_of(name).title + ("\u2020" if incomplete(report, name) else ""),
            "label" + strong,
            "end",
        ),
        rect(x(0), middle - 8, x(value) - x(0), 16, f"bar {role}", 2),
        line(x(low), middle, x(high), middle, "whisker"),
        line(x(low), middle - 4, x(low), middle + 4, "whisker"),
        line(x(high), middle - 4, x(high), middle + 4, "whisker"),
        text(WIDTH - 96, middle + 4, score(metric, value), "value" + strong, "end"),
        text(WIDTH, middle + 4, f"{score(metric, low)} \u2013 {score(metric, high)}", "tick", "end"),
    ]


def users_chart(report: Mapping[str, Any]) -> str:
    """One bar per test user, sorted: how much better or worse HYDRA is for that user. "" without a comparison."""
    gaps = [entry["difference"] for entry in report["per_user"]]
    if not gaps:
        return ""
    shown = gaps
    if len(gaps) > _MOST_BARS:  # evenly spaced order statistics draw the same outline
        shown = [gaps[round(i * (len(gaps) - 1) / (_MOST_BARS - 1))] for i in range(_MOST_BARS)]
    reach = max(max(map(abs, gaps)), 1e-6)
    marks = ticks(min(0, min(gaps)), max(0, max(gaps), 0 if min(gaps) < 0 else reach), 6)
    top, height = 34.0, 300.0
    y = Scale(marks[-1], marks[0], top, height - 34)
    left, right = 52.0, WIDTH - 4.0
    slot = (right - left) / len(shown)
    width = slot - (1.5 if slot > 4 else 0)
    parts = [line(left, y(mark), right, y(mark), "grid") for mark in marks]
    parts += [text(left - 8, y(mark) + 4, tick_text(mark, marks), "tick", "end") for mark in marks]
    bars: dict[str, list[str]] = {"harmed": [], "helped": []}
    for i, gap in enumerate(shown):
        if gap:
            corner = (
                f"M{number(left + i * slot)} {number(y(0))}v{number(y(gap) - y(0))}h{number(width)}V{number(y(0))}z"
            )
            bars["helped" if gap > 0 else "harmed"].append(corner)
    parts += [element("path", d="".join(paths), cls=f"bar {kind}") for kind, paths in bars.items() if paths]
    parts.append(line(left, y(0), right, y(0), "axis"))
    helped, harmed = report["users_helped"], report["users_harmed"]
    parts.append(text(left, 16, f"harmed {percent(harmed)}", "group harmed-text"))
    parts.append(text((left + right) / 2, 16, f"unchanged {percent(1 - helped - harmed)}", "group muted", "middle"))
    parts.append(text(right, 16, f"helped {percent(helped)}", "group helped-text", "end"))
    parts.append(text((left + right) / 2, height - 10, f"{len(gaps)} test users, sorted by change", "tick", "middle"))
    title = "Change per user: HYDRA minus the best method that trains nothing"
    what = f"{len(gaps)} users: helped {percent(helped)}, harmed {percent(harmed)}, the others unchanged."
    return figure("users", title, what, WIDTH, height, *parts)


def history_chart(report: Mapping[str, Any]) -> str:
    """The metric against history length, binned, with intervals and counts. "" if nothing was answered."""
    bins = report["by_history"]
    if not bins:
        return ""
    metric, names = report["primary_metric"], list(bins[0]["methods"])
    ends = [
        end for entry in bins for m in entry["methods"].values() for end in (*m["ci95"], m["value"]) if end is not None
    ]
    marks = ticks(max(0.0, min(ends)), max(ends), 5)
    top, height = 40.0, 340.0
    y = Scale(marks[-1], marks[0], top, height - 76)
    left, right = 52.0, WIDTH - 4.0
    slot = (right - left) / len(bins)
    parts = [line(left, y(mark), right, y(mark), "grid") for mark in marks]
    parts += [text(left - 8, y(mark) + 4, tick_text(mark, marks), "tick", "end") for mark in marks]
    for i, entry in enumerate(bins):
        middle = left + (i + 0.5) * slot
        span = str(entry["from"]) if entry["from"] == entry["to"] else f"{entry['from']}\u2013{entry['to']}"
        parts.append(text(middle, height - 56, span, "label", "middle"))
        parts.append(text(middle, height - 40, f"{entry['questions']} questions", "tick", "middle"))
        parts.append(text(middle, height - 26, f"{entry['users']} users", "tick", "middle"))
    for j, name in enumerate(names):
        role = "full" if name == FULL else "best" if name == report["best_prompt_method"] else "plain"
        dodge = (j - (len(names) - 1) / 2) * min(16.0, slot / 8)
        centres = [left + (i + 0.5) * slot + dodge for i in range(len(bins))]
        parts += series(role, centres, [entry["methods"][name] for entry in bins], y)
        key = left + j * (right - left) / 3
        parts += [
            marker(role, key + 8, 14),
            text(key + 22, 18, method_of(name).title + ("\u2020" if incomplete(report, name) else ""), "label"),
        ]
    parts.append(text((left + right) / 2, height - 4, "history items at the time of the question", "tick", "middle"))
    title = f"{metric_title(metric)} by history length"
    shown = (
        f"{e['from']} to {e['to']}: " + ", ".join(f"{n} {score(metric, m['value'])}" for n, m in e["methods"].items())
        for e in bins
    )
    return figure("history", title, "; ".join(shown), WIDTH, height, *parts)


def series(
    role: str, centres: Sequence[float], points: Sequence[Mapping[str, Any]], y: Scale, joined: bool = True
) -> list[str]:
    """Markers with intervals, joined by a line.

    Args:
        role: What they look like.
        centres: x of each point.
        points: `value` and `ci95` of each.
        y: The vertical scale.
        joined: Whether there is a line.
    """
    places = [(x, y(point["value"])) for x, point in zip(centres, points, strict=True)]
    path = " ".join(f"{number(px)},{number(py)}" for px, py in places)
    parts = [element("polyline", points=path, cls=f"series {role}")] if joined and len(places) > 1 else []
    for x, point in zip(centres, points, strict=True):
        low, high = point["ci95"]
        if low is not None and high is not None:
            parts.append(line(x, y(low), x, y(high), f"span {role}"))
    return parts + [marker(role, px, py) for px, py in places]


def marker(role: str, x: float, y: float) -> str:
    """A circle, a ring, a square or a diamond: distinct without colour."""
    if role in ("full", "ours"):
        return element("circle", cx=float(x), cy=float(y), r=5.0 if role == "full" else 4.0, cls=f"marker {role}")
    if role == "best":
        return rect(x - 4.5, y - 4.5, 9, 9, f"marker {role}")
    return element("path", d=f"M{number(x)} {number(y - 6)}l6 6l-6 6l-6 -6z", cls=f"marker {role}")
