"""The files of a sweep."""

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from hydra_ray.report.sweep_page import sweep_html, sweep_markdown, sweep_table, write_sweep
from tests.report.html_page import parse
from tests.report.made_up import HOSTILE
from tests.report.swept import sweep_of


def test_four_files(tmp_path: Path) -> None:
    sweep = sweep_of("protocol.train_users=25,50")
    write_sweep(tmp_path / "s", sweep)
    assert json.loads((tmp_path / "s" / "sweep.json").read_text()) == sweep
    assert ElementTree.fromstring((tmp_path / "s" / "sweep.svg").read_text()).tag.endswith("svg")
    assert {file.name for file in (tmp_path / "s").iterdir()} == {
        f"sweep.{end}" for end in ("json", "md", "html", "svg")
    }


def test_the_table_has_a_row_for_each_finished_run_and_a_line_for_the_others() -> None:
    text = sweep_table(sweep_of("protocol.train_users=25,50,100", failed="-25", waiting="-100"))
    rows = [line.split()[0] for line in text.splitlines() if line.startswith(("25 ", "50 ", "100 "))]
    assert rows == ["50"]
    assert "protocol.train_users=25 failed: the server is gone" in text
    assert "protocol.train_users=100 is not done yet" in text
    assert "accuracy (higher is better) by protocol.train_users" in text


def test_answers_that_are_missing_are_said() -> None:
    sweep = sweep_of("a.b=1,2")
    sweep["points"][0]["methods"]["hydra"]["missing"] = "3 of 10 answers missing"
    text = sweep_markdown(sweep)
    assert "! a.b=1, hydra: 3 of 10 answers missing" in text
    assert sum(") ! |" in line for line in text.splitlines()) == 1


def test_the_page_needs_nothing_else_and_escapes_everything() -> None:
    sweep = sweep_of(f"a.b={HOSTILE},x")
    html = sweep_html(sweep)
    page = parse(html)
    assert page.loads == []
    assert not re.search(r"https?:|//[a-z]|url\(|@import", html)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
