"""Tables for people: on the terminal and in report.md."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from hydra_ray.report.methods import GROUPS, ORACLES, method_of
from hydra_ray.report.plain_text import aligned_line
from hydra_ray.report.wording import (
    cost,
    count,
    duration,
    finding,
    incomplete,
    metric_title,
    percent,
    percent_range,
    protocol,
    score,
    score_range,
    share_range,
)

HABIT_LEGEND = "= habit: share of answers that equal user_majority; others: {metric} of those that do not"
Cells = Sequence[Sequence[str]]


def result_table(report: Mapping[str, Any]) -> str:
    """The methods with their metrics as plain text, and the finding below them; printed at the end of a run."""
    header, body = method_cells(report)
    oracles = oracle_cells(report)[1]
    widths = [max(len(row[i]) for row in [header, *body, *oracles] if i < len(row)) for i in range(len(header))]
    rule = "  ".join("-" * width for width in widths)
    lines = [aligned_line(header, widths), rule]
    names = list(report["methods"])
    for i, (name, cells) in enumerate(zip(names, body, strict=True)):
        if i and method_of(name).group != method_of(names[i - 1]).group:
            lines.append(rule)
        lines.append(aligned_line(cells, widths))
    if report["oracles"]:
        lines += [rule, "what a perfect part would reach (these know the gold answers)"]
        lines += [aligned_line(row, widths[: len(row)]) for row in oracles]
    metric = metric_title(report["primary_metric"])
    habit = [HABIT_LEGEND.format(metric=metric)] if report["majority"] else []
    where = f"{report['task']}: {protocol(report)}"
    width = max(len(rule), 72)
    missing, conclusion = wrap(missing_line(report), width, subsequent_indent="  "), wrap(finding(report), width)
    return "\n".join([where, "", *lines, "* best of those that train nothing", *missing, *habit, "", *conclusion])


def missing_line(report: Mapping[str, Any]) -> str:
    """What `!` means: the methods that lack answers, and how many; "" if none do."""
    shown = ", ".join(f"{name} {text.removesuffix(' answers missing')}" for name, text in report["incomplete"].items())
    return f"! answers missing: {shown}" if shown else ""


def method_cells(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and one row per method: name, 95 % interval of the primary metric, all metrics, spread, the share of
    answers that are the user's majority and the primary metric on the rest, HYDRA's gain. `!` marks methods that lack
    answers (`missing_line`)."""
    primary = report["primary_metric"]
    metrics = list(report["metric_directions"])
    arrows = {name: "\u2191" if up else "\u2193" for name, up in report["metric_directions"].items()}
    header = ["method", *(f"{metric_title(name)} {arrows[name]}" for name in metrics), "95 % interval"]
    several = len(report["seeds"]) > 1
    header += ["\u00b1 seeds"] if several else []
    if report["majority"]:
        header += ["= habit", "others"]
    header += ["HYDRA's gain"]
    body = []
    for name, values in report["methods"].items():
        mark = " *" if name == report["best_prompt_method"] else ""
        mark += " !" if name in report["incomplete"] else ""
        low, high = report["methods_ci95"][name]
        cells = [name + mark, *(score(metric, values[metric]) for metric in metrics)]
        cells.append(f"{score(primary, low)} to {score(primary, high)}")
        if several:
            cells.append(score(primary, report["per_seed"][name]["spread"]))
        if report["majority"]:
            habit = report["majority"][name]
            cells += [percent(habit["same"]), score(primary, habit["rest_value"])]
        against = report["hydra_against"].get(name)
        cells.append(percent(against["relative_gain"], True) if against else "")
        body.append(cells)
    return header, body


def oracle_cells(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and one row per oracle: title, all metrics, 95 % interval of the primary one."""
    primary, metrics = report["primary_metric"], list(report["metric_directions"])
    header = ["oracle", *map(metric_title, metrics), "95 % interval"]
    body = []
    for name, oracle in report["oracles"].items():
        low, high = oracle["ci95"]
        values = [score(metric, oracle["metrics"][metric]) for metric in metrics]
        body.append([ORACLES[name][0], *values, f"{score(primary, low)} to {score(primary, high)}"])
    return header, body


def retriever_cells(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Per retriever of the pool: the share of questions for which none is better, ties included; no rows without."""
    body = [
        [name + incomplete(report, name), percent(found["share"]), share_range(found["ci95"])]
        for name, found in report["retriever_choice"].items()
    ]
    return ["retriever", "success rate", "95 % interval"], body


def habit_cells(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Per method: the share of answers that are the user's majority, and what the others are worth."""
    primary = report["primary_metric"]
    body = [
        [
            name + incomplete(report, name),
            percent(habit["same"]),
            count(habit["rest"]),
            score(primary, habit["rest_value"]),
            score(primary, habit["rest_majority"]),
            count(habit["won"]),
            count(habit["lost"]),
        ]
        for name, habit in report["majority"].items()
        if habit["rest"]
    ]
    header = ["method", "same as majority", "others", metric_title(primary), "majority there", "better", "worse"]
    return header, body


def user_cells(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """HYDRA against every other method, user by user: shares with intervals, less chance, and of single tests."""
    body = []
    for name, other in report["hydra_against"].items():
        users = other["users"]
        cells = [f"{percent(users[key])} ({share_range(users[key + '_ci95'])})" for key in ("helped", "harmed")]
        excess = f"{percent(users['harmed_excess'], True)} ({percent_range(users['harmed_excess_ci95'])})"
        clear = f"{percent(users['harmed_clear'])} ({share_range(users['harmed_clear_ci95'])})"
        body.append(
            [
                name + incomplete(report, name),
                *cells,
                excess,
                clear if users["testable"] else "-",
                percent(users["testable"]),
            ]
        )
    return ["HYDRA against", "helped", "harmed", "harmed beyond chance", "clearly harmed", "testable"], body


def guard_cells(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """HYDRA with and without the guard against the best method that trains nothing: gain, users helped and harmed."""
    body = []
    for title, other in (("with", report["guard"]["with"]), ("without", report["guard"]["without"])):
        users = other["users"]
        shares = [f"{percent(users[key])} ({share_range(users[key + '_ci95'])})" for key in ("helped", "harmed")]
        excess = f"{percent(users['harmed_excess'], True)} ({percent_range(users['harmed_excess_ci95'])})"
        gain = f"{percent(other['relative_gain'], True)} ({percent_range(other['relative_gain_ci95'])})"
        body.append([title, gain, *shares, excess])
    return ["guard", "relative gain", "helped", "harmed", "harmed beyond chance"], body


def markdown_table(header: Sequence[str], body: Cells) -> str:
    """A table in Markdown; `|` and line breaks inside cells are neutralised. The first column is left-aligned."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(header), line([":--", *["--:"] * (len(header) - 1)]), *(line(row) for row in body)])


def cost_cells(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Per stage: seconds, calls, cached, tokens in, tokens out; the last row is the sum."""
    header = ["stage", "time", "LLM calls", "from cache", "prompt tokens", "completion tokens"]
    keys = ("calls", "cached", "prompt_tokens", "completion_tokens")
    stages = list(dict.fromkeys([*report["seconds"], *report["llm_by_stage"]]))
    body = []
    for stage in stages:
        used = report["llm_by_stage"].get(stage, {})
        time = duration(report["seconds"][stage]) if stage in report["seconds"] else "-"
        body.append([stage, time, *(count(used[key]) if key in used else "" for key in keys)])
    total = duration(sum(report["seconds"].values()))
    body.append(["all", total, *(count(report["llm"][key]) for key in keys)])
    return header, body


def answer_cells(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Per method: answers that are missing, empty, thoughts alone, or no label; methods without any are left out."""
    rows = [
        [name, *(count(counts[key]) for key in ("missing", "empty", "thoughts_only", "no_label"))]
        for name, counts in report["answers"].items()
        if any(counts.values())
    ]
    return ["method", "missing", "empty", "thoughts alone", "no label"], rows


def llm_answer_cells(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Per stage that asked: the LLM's answers, those that hit max_tokens, and those missing, degraded or of no use."""
    keys = {
        "answers": "answers",
        "missing_answers": "missing",
        "hit_max_tokens": "hit max_tokens",
        "cut": "cut too early",
        "empty": "empty",
        "thinking": "thoughts alone",
        "refused": "refused",
        "no_label": "no label",
        "degraded": "prompt shortened",
    }
    body = [
        [stage, *(count(counts.get(key, 0)) for key in keys)]
        for stage, counts in report["llm_answers"].items()
        if counts.get("answers")
    ]
    return ["stage", *keys.values()], body


def comparison_cells(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """HYDRA against every other method: relative and absolute gain with their intervals."""
    primary = report["primary_metric"]
    body = [
        [
            name + incomplete(report, name),
            percent(other["relative_gain"], True),
            percent_range(other["relative_gain_ci95"]),
            score(primary, other["difference"]),
            score_range(primary, other["difference_ci95"]),
        ]
        for name, other in report["hydra_against"].items()
    ]
    against = "HYDRA" + incomplete(report, "hydra") + " against"
    return [against, "relative gain", "95 % interval", "absolute gain", "95 % interval"], body


def count_cells(counts: Mapping[str, int], what: str) -> tuple[list[str], list[list[str]]]:
    """Reasons with counts, most frequent first."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return [what, "count"], [[reason, count(number)] for reason, number in ordered]


def head_cells(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Users' heads by component: how many were fitted, and how many kept the shared head."""
    names = ("users", "with_rows", "kept_shared_head", "guarded", "reused")
    body = [[name, *[count(counts[n]) for n in names]] for name, counts in report["heads"].items()]
    header = ["heads of", "users", "with rows of their own", "keep the shared head", "by the guard"]
    return [*header, "of an earlier run"], body


def markdown_report(report: Mapping[str, Any]) -> str:
    """report.md."""
    parts = [
        f"# {report['task']}",
        protocol(report) + ".",
        finding(report),
        "## Methods",
        f"{GROUPS[0].capitalize()} first, ours below. `*` marks the best method that trains nothing."
        f" {HABIT_LEGEND.format(metric=metric_title(report['primary_metric']))}.",
        markdown_table(*method_cells(report)),
        *([missing_line(report)] if report["incomplete"] else []),
    ]
    if report["attainable"]:
        best = ", ".join(f"{metric_title(name)} {score(name, x)}" for name, x in report["attainable"].items())
        parts.append(f"Attainable at most: {best}.")
    sections = [
        ("HYDRA against each method", comparison_cells(report)),
        ("Users helped and harmed", user_cells(report)),
        ("With and without the guard", guard_cells(report) if report["guard"] else ([], [])),
        ("Answers that are not the user's majority", habit_cells(report)),
        ("What a perfect part would reach", oracle_cells(report)),
        ("Questions for which no other retriever is better", retriever_cells(report)),
        ("What it cost", cost_cells(report)),
        ("Users' heads", head_cells(report)),
        ("Answers that could not be scored as given", answer_cells(report)),
        ("What the LLM answered", llm_answer_cells(report)),
        ("Cut to fit the LLM's window", count_cells(report["truncated"], "what")),
        ("Records not used", count_cells(report["rejects"], "reason")),
        ("Records used with something amiss", count_cells(report["warnings"], "what")),
    ]
    for title, (header, body) in sections:
        if body:
            parts += [f"## {title}", markdown_table(header, body)]
    alone = report["users_without_history"]
    parts.append(f"Cost of the LLM: {cost(report['llm']['cost'])}. Users answered without history: {alone}.")
    parts += [f"- {note}" for note in report["notes"]]
    return "\n\n".join(parts) + "\n"
