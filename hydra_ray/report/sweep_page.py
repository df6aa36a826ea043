"""The files of a sweep: sweep.json, sweep.md, sweep.html and sweep.svg; and its table for the terminal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from hydra_ray.report.html import template
from hydra_ray.report.plain_text import aligned
from hydra_ray.report.standalone import standalone
from hydra_ray.report.sweep_chart import sweep_chart
from hydra_ray.report.tables import markdown_table
from hydra_ray.report.wording import count, metric_title, score, score_range
from hydra_ray.report.write import write_json

NOTE = "In brackets: 95 % intervals over the test users of each run."


def sweep_cells(sweep: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and one row a finished run: its values, its users and calls, and each method with its interval; `!` where
    answers of the LLM are missing."""
    metric = sweep["primary_metric"]
    header = [*sweep["axes"], "training users", "test users", "paid calls", *sweep["methods"]]
    body = []
    for point in sweep["points"]:
        if "methods" not in point:
            continue
        cells = [*point["values"].values(), *(count(point["users"][role]) for role in ("train", "test"))]
        cells.append(count(point["calls"]))
        for name in sweep["methods"]:
            found = point["methods"].get(name)
            mark = " !" if found and found["missing"] else ""
            value = f"{score(metric, found['value'])} ({score_range(metric, found['ci95'])}){mark}" if found else "-"
            cells.append(value)
        body.append(cells)
    return header, body


def notes(sweep: Mapping[str, Any]) -> list[str]:
    """What is missing: answers, and runs."""
    found = []
    for point in sweep["points"]:
        about = " ".join(f"{key}={value}" for key, value in point["values"].items())
        if point["failed"]:
            found.append(f"{about} failed: {point['failed']}")
        elif "methods" not in point:
            found.append(f"{about} is not done yet")
        for name, method in point.get("methods", {}).items():
            if method["missing"]:
                found.append(f"! {about}, {name}: {method['missing']}")
    return found


def title(sweep: Mapping[str, Any]) -> str:
    """`accuracy (higher is better) by protocol.train_users`."""
    direction = "higher" if sweep["higher_is_better"] else "lower"
    return f"{metric_title(sweep['primary_metric'])} ({direction} is better) by {', '.join(sweep['axes'])}"


def sweep_table(sweep: Mapping[str, Any]) -> str:
    """The runs as plain text; printed at the end of a sweep."""
    header, body = sweep_cells(sweep)
    return "\n".join([f"{sweep['task']}: {title(sweep)}", "", *aligned(header, [("", body)]), NOTE, *notes(sweep)])


def sweep_markdown(sweep: Mapping[str, Any]) -> str:
    """sweep.md."""
    parts = [f"# {sweep['task']}", f"{title(sweep)}.", markdown_table(*sweep_cells(sweep)), NOTE]
    if lines := notes(sweep):
        parts.append("\n".join(f"- {line}" for line in lines))
    return "\n\n".join(parts) + "\n"


def sweep_html(sweep: Mapping[str, Any]) -> str:
    """The page. All text is escaped; there is no script and no outside address to load."""
    header, body = sweep_cells(sweep)
    return template("sweep.html.j2").render(
        sweep=sweep,
        title=title(sweep),
        # The drawing escapes its own text.
        chart=Markup(sweep_chart(sweep)),
        header=header,
        body=body,
        note=NOTE,
        notes=notes(sweep),
    )


def write_sweep(folder: Path, sweep: Mapping[str, Any]) -> None:
    """Writes the files into `folder`, which is made if it is missing. At least one run must be finished."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "sweep.json", sweep)
    (folder / "sweep.md").write_text(sweep_markdown(sweep), encoding="utf-8")
    (folder / "sweep.html").write_text(sweep_html(sweep), encoding="utf-8")
    (folder / "sweep.svg").write_text(standalone(sweep_chart(sweep)), encoding="utf-8")
