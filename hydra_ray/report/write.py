"""A run's results as files."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra_ray.core.answers.parse import parse_answer
from hydra_ray.core.tasks import Task
from hydra_ray.report.html import html_report
from hydra_ray.report.rows import AnswerRow, check_rows, sorted_rows
from hydra_ray.report.tables import markdown_report


def write_report(
    folder: Path, report: Mapping[str, Any], task: Task, rows: Sequence[AnswerRow], lamp_id: str | None = None
) -> None:
    """Writes report.json, report.md, report.html and predictions/ into `folder`, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "report.json", report)
    (folder / "report.md").write_text(markdown_report(report), encoding="utf-8")
    (folder / "report.html").write_text(html_report(report), encoding="utf-8")
    write_predictions(folder / "predictions", task, rows, lamp_id)


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Writes finite JSON, readable by people."""
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def write_predictions(folder: Path, task: Task, rows: Sequence[AnswerRow], lamp_id: str | None = None) -> list[Path]:
    """`{method}_seed{S}.json` for every method and seed, in the layout of LaMP's `_outputs.json`.

    `{"task": id, "golds": [{"id", "output"}]}` with the normalised answers; LaMP's scorer demands exactly the gold's
    ids, so a question without an answer stands there with "". lamp_id: the id in the data's own files (default: the
    task's first LaMP id, else its name). Where users of one seed share question ids, the ids are `user:question`.
    """
    check_rows(rows)
    folder.mkdir(parents=True, exist_ok=True)
    task_id = lamp_id or (task.lamp_ids[0] if task.lamp_ids else task.name)
    paths = []
    for seed in sorted({row.seed for row in rows}):
        of_seed = [row for row in sorted_rows(rows) if row.seed == seed]
        unique = max(Counter(row.question_id for row in of_seed).values()) == 1
        for method in of_seed[0].answers:
            golds = [
                {
                    "id": row.question_id if unique else f"{row.user_id}:{row.question_id}",
                    "output": parse_answer(task, row.answers[method]),
                }
                for row in of_seed
            ]
            path = folder / f"{method}_seed{seed}.json"
            path.write_text(json.dumps({"task": task_id, "golds": golds}, ensure_ascii=False) + "\n", encoding="utf-8")
            paths.append(path)
    return paths
