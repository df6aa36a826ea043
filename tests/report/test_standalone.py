"""A chart as a file of its own."""

import xml.etree.ElementTree as ElementTree

from hydra_ray.report.standalone import standalone
from hydra_ray.report.svg import figure, text


def test_a_chart_of_a_report_stands_alone() -> None:
    drawn = ElementTree.fromstring(
        standalone(figure("methods", "accuracy", "a 0.5", 100, 50.0, text(0, 10, "a & b", "label")))
    )
    space = "{http://www.w3.org/2000/svg}"
    assert drawn.attrib["viewBox"] == "-16 -16 132 82"
    paper = drawn.find(f"{space}rect")
    assert paper is not None
    assert (paper.attrib["width"], paper.attrib["height"]) == ("132", "82")
    assert [found.text for found in drawn.iter(f"{space}text")] == ["a & b"]
    assert drawn.find(f"{space}style") is not None
    style = drawn.findtext(f"{space}style") or ""
    assert "prefers-color-scheme: dark" in style
    assert "@import" not in style
