"""report.html: one file that needs nothing else, from report.json alone."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from hydra_ray.report import charts, tables, wording
from hydra_ray.report.methods import ORACLES, method_of

_SHOWN_USERS = 5


@lru_cache
def template(name: str) -> Template:
    """A page's template; text in it is escaped."""
    environment = Environment(
        loader=PackageLoader("hydra_ray.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def html_report(report: Mapping[str, Any]) -> str:
    """The page. All text of users, tasks and configs is escaped; there is no script and no outside address to load."""
    changed = [entry for entry in report["per_user"] if entry["difference"]]
    return template("report.html.j2").render(
        report=report,
        words=wording,
        first_of_ours=next((name for name in report["methods"] if method_of(name).group == "ours"), None),
        about=[method_of(name) for name in report["methods"] if method_of(name).about],
        best_title=method_of(report["best_prompt_method"]).title if report["best_prompt_method"] else "-",
        verdict=wording.verdict(report),
        # The drawings escape their own text.
        methods_chart=Markup(charts.methods_chart(report)),
        users_chart=Markup(charts.users_chart(report)),
        history_chart=Markup(charts.history_chart(report)),
        methods=_without_last(tables.method_cells(report)),
        comparisons=tables.comparison_cells(report),
        users=tables.user_cells(report),
        guard=tables.guard_cells(report) if report["guard"] else None,
        habits=tables.habit_cells(report),
        oracles=tables.oracle_cells(report),
        retrievers=tables.retriever_cells(report),
        oracle_notes=[ORACLES[name] for name in report["oracles"]],
        heads=tables.head_cells(report),
        answers=tables.answer_cells(report),
        llm_answers=tables.llm_answer_cells(report),
        truncated=tables.count_cells(report["truncated"], "what was cut"),
        rejects=tables.count_cells(report["rejects"], "reason"),
        warnings=tables.count_cells(report["warnings"], "what"),
        costs=_cost_rows(report),
        most_harmed=[entry for entry in changed if entry["difference"] < 0][:_SHOWN_USERS],
        most_helped=[entry for entry in changed[::-1] if entry["difference"] > 0][:_SHOWN_USERS],
        config=yaml.safe_dump(report["config"], sort_keys=False, allow_unicode=True),
    )


def _without_last(cells: tuple[list[str], list[list[str]]]) -> tuple[list[str], list[list[str]]]:
    """The page shows HYDRA's gains in a table of their own."""
    header, body = cells
    return header[:-1], [row[:-1] for row in body]


def _cost_rows(report: Mapping[str, Any]) -> tuple[list[str], list[list[tuple[str, float]]]]:
    """The cells of `tables.cost_cells`, each with its bar's length: the share (0 to 100) of its column's largest."""
    header, body = tables.cost_cells(report)
    keys = ("calls", "cached", "prompt_tokens", "completion_tokens")
    rows: list[list[tuple[str, float]]] = []
    for cells in body[:-1]:
        stage = cells[0]
        used = report["llm_by_stage"].get(stage, {})
        sizes = [report["seconds"].get(stage, 0), *(used.get(key, 0) for key in keys)]
        tops = [
            max(report["seconds"].values(), default=0),
            *(max((counts.get(key, 0) for counts in report["llm_by_stage"].values()), default=0) for key in keys),
        ]
        lengths = [100 * size / top if top else 0 for size, top in zip(sizes, tops, strict=True)]
        rows.append(list(zip(cells, [0.0, *lengths], strict=True)))
    return header, [*rows, [(cell, 0.0) for cell in body[-1]]]
