"""The files of a comparison: compare.json, compare.md, compare.html and compare.svg."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from hydra_ray.report import comparison_tables as tables
from hydra_ray.report.cost_chart import cost_chart
from hydra_ray.report.html import template
from hydra_ray.report.standalone import standalone
from hydra_ray.report.wording import protocol
from hydra_ray.report.write import write_json


def comparison_html(comparison: Mapping[str, Any]) -> str:
    """The page. All text is escaped; there is no script and no outside address to load."""
    header, groups = tables.grouped_rows(comparison)
    return template("compare.html.j2").render(
        comparison=comparison,
        protocol=protocol(comparison),
        # The drawing escapes its own text.
        chart=Markup(cost_chart(comparison)),
        header=header,
        groups=groups,
        names=list(comparison["methods"]),
        signs=signs(comparison),
        pairs=tables.pair_rows(comparison),
        pairs_line=tables.pairs_line(comparison),
        missing=tables.missing_lines(comparison),
        left_out=tables.left_out_lines(comparison),
        legend=tables.LEGEND,
    )


def signs(comparison: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Method -> other method -> `+` (is shown to be better), `−`, `·` (no difference is shown), "" (itself)."""
    methods = comparison["methods"]

    def sign(name: str, other: str) -> str:
        if name == other:
            return ""
        if other in methods[name]["better_than"]:
            return "+"
        return "−" if name in methods[other]["better_than"] else "·"

    return {name: {other: sign(name, other) for other in methods} for name in methods}


def write_comparison(folder: Path, comparison: Mapping[str, Any]) -> None:
    """Writes the files into `folder`, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "compare.json", comparison)
    (folder / "compare.md").write_text(tables.comparison_markdown(comparison), encoding="utf-8")
    (folder / "compare.html").write_text(comparison_html(comparison), encoding="utf-8")
    (folder / "compare.svg").unlink(missing_ok=True)
    if chart := cost_chart(comparison):
        (folder / "compare.svg").write_text(standalone(chart), encoding="utf-8")
