"""A comparison as tables for people: on the terminal and in compare.md."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from textwrap import wrap
from typing import Any

from hydra_ray.report.methods import FULL
from hydra_ray.report.needs import NEEDS
from hydra_ray.report.plain_text import aligned
from hydra_ray.report.tables import markdown_table
from hydra_ray.report.wording import count, duration, metric_title, protocol, score, score_range

LEGEND = (
    "better/worse: than how many of the others a method is shown to be better, and worse. The costs are those of "
    "running a method alone: calls that several methods share are charged to each. Tokens are prompts and answers; a "
    "call for several samples is one call. train: calls about the training users, once. user calls: to prepare one new "
    "user. time: of the steps that prepare the method, for all users, as measured when they ran; an answer from the "
    "cache took none. user parameters: numbers that are one user's own."
)
Cells = tuple[list[str], list[list[str]]]


def by_need(comparison: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """The groups that have methods: (what they need, their names)."""
    methods = comparison["methods"]
    ordered = sorted(methods, key=lambda name: NEEDS.index(methods[name]["needs"]))
    return [(f"needs {need}" if need == "nothing" else f"need {need}", list(names))
            for need, names in groupby(ordered, key=lambda name: methods[name]["needs"])]  # fmt: skip


def marked(comparison: Mapping[str, Any], name: str) -> str:
    """A method's name with its marks: `*` the best, `!` lacks answers of the LLM."""
    mark = " *" if name == comparison["best"] else ""
    return name + mark + (" !" if comparison["methods"][name]["missing"] else "")


def tokens_of(usage: Mapping[str, float], one: bool = False) -> str:
    """Tokens of calls, `≥` where some calls' are not known. one: of a single answer."""
    tokens = usage["prompt_tokens"] + usage["completion_tokens"]
    shown = f"{tokens:,.1f}" if one and tokens < 100 and tokens % 1 else count(tokens)
    return f"≥ {shown}" if usage["unknown"] else shown


def calls_of(usage: Mapping[str, float]) -> str:
    """Calls in the mean: 1, 0.97, 41."""
    calls = usage["calls"]
    return f"{calls:.2f}" if calls < 100 and abs(calls - round(calls)) >= 0.005 else count(calls)


def method_rows(comparison: Mapping[str, Any]) -> Cells:
    """Header and one row a method: quality, than how many it is shown to be better and worse, and costs."""
    metric, methods = comparison["primary_metric"], comparison["methods"]
    arrow = "↑" if comparison["higher_is_better"] else "↓"
    header = [
        "method", f"{metric_title(metric)} {arrow}", "95 % interval", "better/worse", "calls/answer", "tokens/answer",
        "train calls", "train tokens", "user calls", "time", "user parameters",
    ]  # fmt: skip
    body = []
    for _, names in by_need(comparison):
        for name in names:
            method = methods[name]
            costs, new = method["costs"], method["costs"]["new_user"]
            body.append([
                marked(comparison, name),
                score(metric, method["metrics"][metric]),
                score_range(metric, method["ci95"]),
                f"{len(method['better_than'])}/{sum(name in other['better_than'] for other in methods.values())}",
                calls_of(costs["answer"]),
                tokens_of(costs["answer"], one=True),
                calls_of(costs["training"]),
                tokens_of(costs["training"]),
                "-" if new is None else calls_of(new),
                duration(costs["seconds"]) if costs["seconds"] else "0",
                count(costs["parameters"]),
            ])  # fmt: skip
    return header, body


def grouped_rows(comparison: Mapping[str, Any]) -> tuple[list[str], list[tuple[str, list[list[str]]]]]:
    """Header, and the rows of `method_rows` by what the methods need."""
    header, body = method_rows(comparison)
    rows = iter(body)
    return header, [(need, [next(rows) for _ in names]) for need, names in by_need(comparison)]


def pair_rows(comparison: Mapping[str, Any], name: str | None = None) -> Cells:
    """Header and one row a pair: difference, interval, p and corrected p. name: only pairs with this method, as the
    first of each; None: all, the better method first."""
    metric, body = comparison["primary_metric"], []
    for pair in comparison["pairs"]:
        one, other, gap = pair["method"], pair["other"], pair["difference"]
        low, high = pair["ci95"]
        if name not in (None, one, other):
            continue
        if other == name or (name is None and gap < 0):
            one, other, gap, low, high = other, one, -gap, -high, -low
        cells = [score(metric, gap), score_range(metric, (low, high))]
        body.append([one, other, *cells, p_value(pair["p"]), p_value(pair["p_holm"])])
    return ["method", "against", "difference", "95 % interval", "p", "p, Holm"], body


def p_value(p: float) -> str:
    """`0.031`, `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def better_lines(comparison: Mapping[str, Any]) -> list[str]:
    """One line for each method that is shown to be better than another."""
    found = ((name, method["better_than"]) for name, method in comparison["methods"].items())
    return [f"{name} is better than {', '.join(others)}." for name, others in found if others]


def pairs_line(comparison: Mapping[str, Any]) -> str:
    """How many pairs were tested, how, and in how many a difference is shown."""
    pairs = comparison["pairs"]
    shown = sum(pair["p_holm"] <= comparison["level"] for pair in pairs)
    return (
        f"{len(pairs)} pair{'s' if len(pairs) != 1 else ''} tested by {count(comparison['resamples'])} resamples of the"
        f" test users, corrected by Holm's procedure: at {100 * comparison['level']:.0f} % a difference is shown in"
        f" {shown}."
    )


def left_out_lines(comparison: Mapping[str, Any]) -> list[str]:
    """One line for each method that could not run."""
    return [f"{name} is left out: {why}" for name, why in comparison["left_out"].items()]


def missing_lines(comparison: Mapping[str, Any]) -> list[str]:
    """One line for each method that lacks answers."""
    found = ((name, method["missing"]) for name, method in comparison["methods"].items())
    return [f"! {name}: {missing}" for name, missing in found if missing]


def comparison_table(comparison: Mapping[str, Any]) -> str:
    """The methods as plain text, in groups, and what was tested below them; printed at the end of a comparison."""
    lines = aligned(*grouped_rows(comparison))
    width = max(map(len, lines))
    notes = [
        "* the best here",
        *missing_lines(comparison),
        *(line for text in (pairs_line(comparison), *left_out_lines(comparison)) for line in wrap(text, width)),
    ]
    return "\n".join([f"{comparison['task']}: {protocol(comparison)}", "", *lines, *notes])


def comparison_markdown(comparison: Mapping[str, Any]) -> str:
    """compare.md."""
    header, groups = grouped_rows(comparison)
    rows: list[Sequence[str]] = []
    for need, body in groups:
        rows += [[f"**{need}**", *[""] * (len(header) - 1)], *body]
    subject = FULL if FULL in comparison["methods"] else comparison["best"]
    parts = [
        f"# {comparison['task']}: methods compared",
        protocol(comparison) + ".",
        markdown_table(header, rows),
        "`*` marks the best here, picked on these same questions.",
        *missing_lines(comparison),
        LEGEND,
        "## Who is better than whom",
        pairs_line(comparison) + " All pairs are in compare.json and compare.html.",
    ]
    if better := better_lines(comparison):
        parts.append("\n".join(f"- {line}" for line in better))
    pair_header, pairs = pair_rows(comparison, subject)
    if pairs:
        parts += [f"## {subject} against the others", markdown_table(pair_header, pairs)]
    if lines := left_out_lines(comparison):
        parts.append("\n".join(f"- {line}" for line in lines))
    return "\n\n".join(parts) + "\n"
