"""The page: it needs nothing else, and nothing in it can break out."""

import re
from dataclasses import replace

import pytest

from hydra_ray.report import result_table
from hydra_ray.report.html import html_report
from hydra_ray.report.tables import markdown_report
from tests.report.html_page import parse
from tests.report.made_up import HOSTILE, TAGGING, made_up_rows, report_of


def test_the_page_needs_nothing_else() -> None:
    html = html_report(report_of())
    page = parse(html)
    assert page.loads == []
    assert not re.search(r"https?:|//[a-z]|url\(|@import", html)
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in page.tags}


def test_light_dark_and_print() -> None:
    html = html_report(report_of())
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
    report = report_of(rows, config={"name": HOSTILE}, notes=[HOSTILE], attainable={"accuracy": 0.9})
    report["rejects"][HOSTILE] = 1
    html = html_report(report)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    parse(html)
    assert "|`" not in markdown_report(report).replace("\\|`", "").replace(f"- {HOSTILE}", "")


@pytest.mark.parametrize("users", [1, 700])
def test_few_and_many_users(users: int) -> None:
    rows = made_up_rows(TAGGING, users=users, each=1, seeds=1)
    report = report_of(rows, costs=None, resamples=100)
    parse(html_report(report))
    assert "no label" in markdown_report(report) or users == 1


def test_a_page_without_comparison() -> None:
    rows = [replace(row, answers={"zero_shot": row.answers["zero_shot"]}) for row in made_up_rows(TAGGING, users=4)]
    report = report_of(rows)
    parse(html_report(report))
    assert "No relative gain" in result_table(report)
