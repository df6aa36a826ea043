"""Quality against cost, drawn."""

import xml.etree.ElementTree as ElementTree

import pytest

from hydra_ray.report.cost_chart import cost_chart, log_ticks
from hydra_ray.report.method_costs import MethodCosts, Usage
from tests.report.compared import comparison_of, costs_of
from tests.report.made_up import QUALITY

Drawing = ElementTree.Element


def places(drawing: Drawing) -> dict[str, tuple[float, float]]:
    """Where the markers are, by method."""
    found = {}
    for group in drawing.iter("g"):
        shape = group[1]
        if shape.tag == "circle":
            at = float(shape.attrib["cx"]), float(shape.attrib["cy"])
        elif shape.tag == "rect":
            at = float(shape.attrib["x"]) + 4.5, float(shape.attrib["y"]) + 4.5
        else:
            x, y = shape.attrib["d"][1:].split("l")[0].split()
            at = float(x), float(y) + 6
        found[(group.findtext("title") or "").split(":")[0]] = at
    return found


def test_every_method_has_a_point_with_better_ones_higher_and_dearer_ones_to_the_right() -> None:
    comparison = comparison_of()
    at = places(ElementTree.fromstring(cost_chart(comparison)))
    assert set(at) == set(QUALITY)
    methods = comparison["methods"]
    for one in QUALITY:
        for other in QUALITY:
            gap = methods[one]["metrics"]["accuracy"] - methods[other]["metrics"]["accuracy"]
            assert (at[one][1] - at[other][1]) * gap <= 0.01
            dearer = costs_of(one).answer.tokens - costs_of(other).answer.tokens
            assert (at[one][0] - at[other][0]) * dearer >= -0.01
    assert at["user_majority"][0] < min(x for name, (x, _) in at.items() if name != "user_majority")
    assert all(0 < x < 760 and 0 < y < 460 for x, y in at.values())


def test_names_do_not_cover_each_other() -> None:
    drawing = ElementTree.fromstring(cost_chart(comparison_of()))
    boxes = []
    for label in drawing.iter("text"):
        if label.attrib["class"].startswith("name"):
            width, x, y = 5.7 * len(label.text or ""), float(label.attrib["x"]), float(label.attrib["y"])
            left = {"start": x, "end": x - width, "middle": x - width / 2}[label.attrib["text-anchor"]]
            boxes.append((left, y - 9, left + width, y + 2))
    assert len(boxes) >= 10
    for i, one in enumerate(boxes):
        assert not any(
            one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
            for other in boxes[i + 1 :]
        )


def test_methods_of_unknown_cost_are_not_drawn() -> None:
    unknown = {"hydra": MethodCosts(Usage(1, 1, 1, unknown=0.5))}
    assert cost_chart(comparison_of(costs=unknown)) == ""
    drawn = cost_chart(comparison_of(costs=unknown | {"zero_shot": costs_of("zero_shot")}))
    assert set(places(ElementTree.fromstring(drawn))) == {"zero_shot"}


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [
        (219, 235, [200, 500]),
        (30, 800, [20, 50, 100, 200, 500, 1000]),
        (100, 100, [100, 200]),
        (0.5, 3, [0.5, 1, 2, 5]),
    ],
)
def test_ticks_of_a_logarithmic_axis_enclose_the_values(low: float, high: float, marks: list[float]) -> None:
    assert log_ticks(low, high) == pytest.approx(marks)
