"""The metric against the value, drawn."""

import xml.etree.ElementTree as ElementTree

import pytest

from hydra_ray.report.sweep_chart import roles_of, sweep_chart
from tests.report.swept import sweep_of


def drawn(*words: str, **options: str) -> ElementTree.Element:
    return ElementTree.fromstring(sweep_chart(sweep_of(*words, **options)))  # type: ignore[arg-type]


@pytest.mark.parametrize(("words", "lines"), [(["a.b=1,2,3"], 4), (["a.b=linear,shared"], 0)])
def test_numbers_are_joined_and_words_are_not(words: list[str], lines: int) -> None:
    assert sum(1 for _ in drawn(*words).iter("polyline")) == lines


def test_values_lie_in_their_order_and_each_method_has_a_marker_for_each() -> None:
    drawing = drawn("a.b=1,2,3")
    at = {text.text: float(text.attrib["x"]) for text in drawing.iter("text") if text.attrib["class"] == "label"}
    assert at["1"] < at["2"] < at["3"]
    circles = [c for c in drawing.iter("circle") if "full" in c.attrib["class"]]
    assert len(circles) == 1 + 3  # one in the key


def test_a_panel_for_each_value_of_the_second_key() -> None:
    drawing = drawn("a.b=1,2", "model.head=linear,shared")
    titles = [text.text for text in drawing.iter("text") if text.attrib["class"] == "group"]
    assert titles == ["model.head=linear", "model.head=shared"]
    assert sum(1 for _ in drawing.iter("polyline")) == 8


def test_a_run_that_failed_leaves_a_gap() -> None:
    drawing = drawn("a.b=1,2,3", failed="-2")
    assert {"1", "2", "3"} <= {text.text for text in drawing.iter("text")}
    assert len([c for c in drawing.iter("circle") if "full" in c.attrib["class"]]) == 1 + 2


def test_where_no_run_shows_a_method_yet_the_chart_has_its_key_and_axes() -> None:
    drawing = drawn("a.b=1,2", methods=["rrf_k4"])  # type: ignore[arg-type]
    assert [text.text for text in drawing.iter("text") if text.attrib["class"] == "tick"][:6] == [
        "0.0", "0.2", "0.4", "0.6", "0.8", "1.0",
    ]  # fmt: skip
    assert not list(drawing.iter("polyline"))


def test_methods_look_different() -> None:
    roles = roles_of(["zero_shot", "bm25_k4", "hydra_shared", "hydra"])
    assert len(set(roles.values())) == 4
    assert (roles["zero_shot"], roles["hydra_shared"], roles["hydra"]) == ("plain", "ours", "full")
    many = roles_of(["user_majority", "zero_shot", "bm25_k4", "hydra_shared", "hydra"])
    assert many["hydra"] == "full"
    assert many["hydra_shared"] != many["bm25_k4"]
