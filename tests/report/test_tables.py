"""The terminal's table and Markdown's."""

from dataclasses import replace

from hydra_ray.report import result_table
from hydra_ray.report.html import html_report
from hydra_ray.report.tables import markdown_report, markdown_table
from tests.report.made_up import COSTS, TAGGING, made_up_rows, report_of


def test_the_table_on_the_terminal() -> None:
    report = report_of()
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
    assert "missing" not in result_table(report_of(rows))
    rows[0] = replace(rows[0], missing=frozenset({"hydra"}))
    used = {"answers": 60, "hit_max_tokens": 9, "no_label": 4}
    report = report_of(rows, costs=replace(COSTS, llm={**COSTS.llm, "cost": None}, llm_answers={"label": used}))
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
    report = report_of(folds=5)
    for text in (result_table(report), markdown_report(report), html_report(report)):
        assert "100 training users in each of 5 folds" in text
        assert "best single example" in text
        assert "= habit" in text
        assert "armed beyond chance" in text


def test_markdown_cells_cannot_break_out() -> None:
    table = markdown_table(["a", "b"], [["x|y", "two\nlines"]])
    assert table.splitlines()[2] == "| x\\|y | two lines |"
