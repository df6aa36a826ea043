"""A chart of a report as an SVG file of its own, readable on light and on dark pages."""

from importlib.resources import files

from hydra_ray.report.svg import rect

MARGIN = 16
"""Around the drawing, in its own units."""


def standalone(chart: str) -> str:
    """The chart with a style sheet, a margin and a background. chart: as `hydra_ray.report.svg.figure` makes it."""
    style = files("hydra_ray.report").joinpath("chart.css").read_text(encoding="utf-8")
    head, _, rest = chart.partition(' viewBox="0 0 ')
    box, _, rest = rest.partition('"')
    width, height = (float(number) + 2 * MARGIN for number in box.split())
    opened, end, drawing = rest.partition("</desc>")
    return (
        head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
        + f' viewBox="{-MARGIN} {-MARGIN} {width:g} {height:g}"{opened}{end}<style>{style}</style>'
        + f"{rect(-MARGIN, -MARGIN, width, height, 'paper', 8)}{drawing}\n"
    )
