"""What people read: the terminal's table, Markdown, HTML, prediction files."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from hydra_ray.core.tasks import load_task
from hydra_ray.report import AnswerRow, build_report, result_table, write_report
from hydra_ray.report.html import html_report
from hydra_ray.report.svg import tick_text, ticks
from hydra_ray.report.tables import markdown_report, markdown_table
from hydra_ray.report.wording import duration, finding, percent, verdict
from hydra_ray.report.write import write_predictions
from tests.report.made_up import CONFIG, COSTS, made_up_rows

TAGGING = load_task("synthetic_tagging")
HOSTILE = "<script>alert('x')</script>&\"|`"


def _report(rows: list[AnswerRow] | None = None, **options: Any) -> dict[str, Any]:
    options = {"train_users": 100, "config": CONFIG, "costs": COSTS, "resamples": 300, **options}
    return build_report(TAGGING, rows if rows is not None else made_up_rows(TAGGING, users=12), **options)


class _Page(HTMLParser):
    """Tags that do not close, attributes that load, images without a name, tables without headers."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.loads += [
            f"{name}={value}" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")
        ]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _parse(html: str) -> _Page:
    page = _Page()
    page.feed(html)
    page.close()
    assert page.open == []
    return page


def test_the_page_needs_nothing_else() -> None:
    html = html_report(_report())
    page = _parse(html)
    assert page.loads == []
    assert not re.search(r"https?:|//[a-z]|url\(|@import", html)
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in page.tags}


def test_drawings_are_named_and_tables_have_headers() -> None:
    page = _parse(html_report(_report()))
    ids = {attributes.get("id") for _, attributes in page.tags}
    drawings = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(drawings) == 3
    for drawing in drawings:
        assert drawing["role"] == "img"
        assert set((drawing["aria-labelledby"] or "").split()) <= ids
    tables = sum(tag == "table" for tag, _ in page.tags)
    assert tables == sum(tag == "caption" for tag, _ in page.tags) == sum(tag == "thead" for tag, _ in page.tags)
    assert all(attributes.get("scope") in ("row", "col") for tag, attributes in page.tags if tag == "th")


def test_light_dark_and_print() -> None:
    html = html_report(_report())
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_hostile_text_is_escaped_everywhere() -> None:
    rows = [
        replace(
            row,
            user_id=HOSTILE + row.user_id,
            question_id=HOSTILE + row.question_id,
            answers={**row.answers, HOSTILE: HOSTILE},
        )
        for row in made_up_rows(TAGGING, users=8)
    ]
    report = _report(rows, config={"name": HOSTILE}, notes=[HOSTILE], attainable={"accuracy": 0.9})
    report["rejects"][HOSTILE] = 1
    html = html_report(report)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    _parse(html)
    assert "|`" not in markdown_report(report).replace("\\|`", "").replace(f"- {HOSTILE}", "")


@pytest.mark.parametrize("users", [1, 700])
def test_few_and_many_users(users: int) -> None:
    rows = made_up_rows(TAGGING, users=users, each=1, seeds=1)
    report = _report(rows, costs=None, resamples=100)
    _parse(html_report(report))
    assert "no label" in markdown_report(report) or users == 1


def test_a_page_without_comparison() -> None:
    rows = [replace(row, answers={"zero_shot": row.answers["zero_shot"]}) for row in made_up_rows(TAGGING, users=4)]
    report = _report(rows)
    _parse(html_report(report))
    assert "No relative gain" in result_table(report)


def test_the_table_on_the_terminal() -> None:
    report = _report()
    table = result_table(report)
    lines = table.splitlines()
    assert lines[0].startswith("synthetic_tagging: 100 training users, 36 test users, 108 questions, seeds 0, 1, 2")
    for name in report["methods"]:
        assert sum(line.startswith((name + " ", name + "\n")) or line == name for line in lines) == 1
    assert f"{report['best_prompt_method']} *" in table
    assert max(map(len, lines)) <= 100
    assert not any(line != line.rstrip() for line in lines)


def test_missing_answers_unusable_answers_and_unknown_costs_are_shown_everywhere() -> None:
    rows = [replace(row, answers=dict.fromkeys(row.answers, "amber")) for row in made_up_rows(TAGGING, 4, seeds=1)]
    assert "missing" not in result_table(_report(rows))
    rows[0] = replace(rows[0], missing=frozenset({"hydra"}))
    used = {"answers": 60, "hit_max_tokens": 9, "no_label": 4}
    report = _report(rows, costs=replace(COSTS, llm={**COSTS.llm, "cost": None}, llm_answers={"label": used}))
    (line,) = [line for line in result_table(report).splitlines() if line.startswith("hydra ")]
    assert line.startswith("hydra ! ")
    assert "! answers missing: hydra 1 of 12" in result_table(report)
    assert "for HYDRA (1 of 12 answers missing)," in " ".join(result_table(report).split())
    for page in (markdown_report(report), html_report(report)):
        assert "HYDRA (1 of 12 answers missing) against" in page
        assert "hydra !" in page
        assert "hydra 1 of 12" in page
        assert "hit max_tokens" in page
    assert "Cost of the LLM: unknown, no prices are set." in markdown_report(report)


def test_folds_and_oracles_are_on_the_terminal_and_the_pages() -> None:
    report = _report(folds=5)
    for text in (result_table(report), markdown_report(report), html_report(report)):
        assert "100 training users in each of 5 folds" in text
        assert "best single example" in text
        assert "= habit" in text
        assert "armed beyond chance" in text


def test_markdown_cells_cannot_break_out() -> None:
    table = markdown_table(["a", "b"], [["x|y", "two\nlines"]])
    assert table.splitlines()[2] == "| x\\|y | two lines |"


def test_verdicts() -> None:
    report = _report()
    for ends, word in (([0.01, 0.2], "better"), ([-0.2, -0.01], "worse"), ([-0.1, 0.1], "not shown")):
        assert verdict({**report, "relative_gain_ci95": ends}) == word
    assert "contains zero" in finding({**report, "relative_gain_ci95": [-0.1, 0.1]})
    assert verdict({**report, "relative_gain": None}) == "no comparison"


def test_words() -> None:
    assert [duration(s) for s in (0.25, 12.34, 59.99, 245, 7380)] == [
        "250 ms",
        "12.3 s",
        "60.0 s",
        "4 min 05 s",
        "2 h 03 min",
    ]
    assert percent(-0.0901, True) == "\u22129.0 %"
    assert percent(None) == "-"


def test_ticks_cover_the_range() -> None:
    for low, high in ((0, 1), (0, 0.0371), (-0.4, 0.7), (0, 83.2), (0.5, 0.5)):
        marks = ticks(low, high)
        assert marks[0] <= low
        assert marks[-1] >= high - 1e-9
        assert len(marks) <= 9
    assert [tick_text(mark, [0, 0.25, 0.5]) for mark in (0, 0.25)] == ["0.00", "0.25"]


def test_files(tmp_path: Path) -> None:
    rows = made_up_rows(TAGGING, users=3)
    report = _report(rows)
    write_report(tmp_path / "run", report, TAGGING, rows)
    assert json.loads((tmp_path / "run" / "report.json").read_text()) == report
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "report.json",
        "report.md",
        "report.html",
        "predictions",
    }
    assert len(list((tmp_path / "run" / "predictions").iterdir())) == 3 * len(report["methods"])


def test_predictions_hold_exactly_the_golds_ids(tmp_path: Path) -> None:
    rows = [
        AnswerRow(7, f"u{i}", f"q{i}", "amber", 3, {"hydra": answer})
        for i, answer in enumerate(["Tag: Amber", None, "?"])
    ]
    (path,) = write_predictions(tmp_path, TAGGING, rows[::-1])
    assert path.name == "hydra_seed7.json"
    golds = [{"id": "q0", "output": "amber"}, {"id": "q1", "output": ""}, {"id": "q2", "output": ""}]
    assert json.loads(path.read_text()) == {"task": "synthetic_tagging", "golds": golds}


def test_question_ids_that_users_share_are_told_apart(tmp_path: Path) -> None:
    rows = [AnswerRow(0, user, "1", "amber", 3, {"hydra": "amber"}) for user in ("a", "b")]
    (path,) = write_predictions(tmp_path, TAGGING, rows, "LaMP_2")
    written = json.loads(path.read_text())
    assert [gold["id"] for gold in written["golds"]] == ["a:1", "b:1"]
    assert written["task"] == "LaMP_2"
