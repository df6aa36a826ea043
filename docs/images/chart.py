"""Draws the result chart of a finished run as one SVG file: `python -m docs.images.chart RUN OUT.svg`."""

import json
import sys
from pathlib import Path

from hydra_ray.report.charts import methods_chart

STYLE = """
.chart { --paper: #ffffff; --ink: #1b1f24; --muted: #5b6470; --grid: #e8ebef;
  --plain: #a7b0bb; --ours: #7fb2d9; --full: #0a66b0; --best: #9a5b00;
  font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
@media (prefers-color-scheme: dark) { .chart { --paper: #14171b; --ink: #e7eaee; --muted: #a3acb8; --grid: #282d35;
  --plain: #69727e; --ours: #3f6f96; --full: #5cb3f5; --best: #f0b352; } }
.paper { fill: var(--paper); }
text { fill: var(--ink); }
.tick, .group { fill: var(--muted); }
.tick, .note { font-size: 11.5px; }
.note { fill: var(--best); }
.group, .strong { font-weight: 650; }
.grid { stroke: var(--grid); }
.bar.plain { fill: var(--plain); }
.bar.ours { fill: var(--ours); }
.bar.full { fill: var(--full); }
.whisker { stroke: var(--ink); stroke-width: 1.2; }
.reference, .attainable { stroke: var(--best); stroke-width: 1.3; stroke-dasharray: 5 3; }
.attainable { stroke-dasharray: 1 3; }
"""
MARGIN = 16


def standalone(chart: str) -> str:
    """The report's chart as a file of its own: with a style sheet, a margin and a background."""
    head, _, rest = chart.partition(' viewBox="0 0 ')
    box, _, rest = rest.partition('"')
    width, height = (float(number) for number in box.split())
    whole = f"{-MARGIN} {-MARGIN} {width + 2 * MARGIN:g} {height + 2 * MARGIN:g}"
    x, y, across, down = whole.split()
    paper = f'<rect class="paper" x="{x}" y="{y}" width="{across}" height="{down}" rx="8"/>'
    opened, end, drawing = rest.partition("</desc>")
    return (
        head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
        + f' viewBox="{whole}"{opened}{end}<style>{STYLE}</style>{paper}{drawing}\n'
    )


if __name__ == "__main__":
    run, out = (Path(argument) for argument in sys.argv[1:3])
    out.write_text(standalone(methods_chart(json.loads((run / "report.json").read_text()))), encoding="utf-8")
