"""The files of a comparison."""

import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

from hydra_ray.report.comparison_page import comparison_html, signs, write_comparison
from tests.report.compared import comparison_of, costs_of
from tests.report.html_page import parse
from tests.report.made_up import HOSTILE, QUALITY, TAGGING, made_up_rows


def test_four_files(tmp_path: Path) -> None:
    comparison = comparison_of()
    write_comparison(tmp_path / "compare", comparison)
    assert json.loads((tmp_path / "compare" / "compare.json").read_text()) == comparison
    assert (tmp_path / "compare" / "compare.md").read_text().startswith("# synthetic_tagging: methods compared")
    assert ElementTree.fromstring((tmp_path / "compare" / "compare.svg").read_text()).tag.endswith("svg")
    assert {file.name for file in (tmp_path / "compare").iterdir()} == {
        f"compare.{e}" for e in ("json", "md", "html", "svg")
    }


def test_the_page_needs_nothing_else_and_escapes_everything() -> None:
    rows = [replace(row, answers={**row.answers, HOSTILE: HOSTILE}) for row in made_up_rows(TAGGING, users=8, seeds=1)]
    costs = {name: costs_of(name) for name in [*QUALITY, HOSTILE]}
    html = comparison_html(comparison_of(rows, costs, {HOSTILE: HOSTILE}))
    page = parse(html)
    assert page.loads == []
    assert not re.search(r"https?:|//[a-z]|url\(|@import", html)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "prefers-color-scheme: dark" in html
    tables = sum(tag == "table" for tag, _ in page.tags)
    assert tables == sum(tag == "caption" for tag, _ in page.tags) == 3


def test_the_matrix_of_pairs_is_its_own_mirror_image() -> None:
    found, mirror = signs(comparison_of()), {"+": "−", "−": "+", "·": "·", "": ""}
    assert found["hydra"]["zero_shot"] == "+"
    assert all(found[other][name] == mirror[sign] for name, row in found.items() for other, sign in row.items())
    assert all(found[name][name] == "" for name in found)
