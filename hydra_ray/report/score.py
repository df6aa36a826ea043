"""Prediction files against gold files: LaMP's scores of one task, or of all tasks in a zip."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra_ray.core.lamp_score import (
    Mode,
    TaskOutputs,
    TaskScores,
    lamp_ids,
    per_question,
    resolve_task,
    score_task,
    some,
    summary,
)
from hydra_ray.core.paired_tests import paired_tests
from hydra_ray.core.tasks import Task
from hydra_ray.data.predictions import read_outputs
from hydra_ray.errors import UserError
from hydra_ray.utils.atomic_io import write_text
from hydra_ray.utils.output_files import check_outputs


class Scored(NamedTuple):
    """What `score_files` found.

    Attributes:
        result: One task's scores, or task id -> scores where a zip holds several.
        notes: One line for each task with predictions that are no answers.
    """

    result: dict[str, Any]
    notes: list[str]


def score_files(
    golds: Path,
    predictions: Path,
    task_name: str | None = None,
    mode: Mode = "ours",
    per_question_file: Path | None = None,
    against: Path | None = None,
) -> Scored:
    """Scores a file or zip of predictions.

    Args:
        golds: File or zip of gold outputs.
        predictions: File or zip of predictions for the same tasks and questions.
        task_name: The one task to score, by LaMP id, name or file; None: all tasks of the files.
        mode: How outputs are read (`hydra_ray.core.lamp_score`).
        per_question_file: Where each question's scores are written as JSON: task id -> list of questions.
        against: Further predictions for the same questions; the difference to them is tested, question by question.

    Raises:
        UserError: For anything that is wrong with the files.
    """
    task_file = Path(task_name) if task_name else None
    check_outputs({"--per-question": per_question_file}, [golds, predictions, against, task_file])
    gold_files, given = read_outputs(golds), read_outputs(predictions)
    others = read_outputs(against) if against else []
    several = len(gold_files) > 1 and task_name is None
    if task_name is not None:
        gold_files = [_one(gold_files, task_name, golds)]
    tasks = [resolve_task(file, task_name) for file in gold_files]
    paired = _paired(gold_files, tasks, given, golds, predictions, exactly=task_name is None)
    compared = _paired(gold_files, tasks, others, golds, against, task_name is None) if against else [None] * len(tasks)
    result: dict[str, Any] = {}
    notes: list[str] = []
    questions: dict[str, list[dict[str, Any]]] = {}
    for gold_file, task, file, other in zip(gold_files, tasks, paired, compared, strict=True):
        scores = score_task(gold_file, file, task, mode)
        result[scores.task_id] = summary(scores, mode)
        questions[scores.task_id] = per_question(scores)
        notes += _notes(scores, task, mode)
        if other is not None:
            theirs = score_task(gold_file, other, task, mode)
            result[scores.task_id]["against"] = {
                "metrics": dict(theirs.metrics),
                "tests": paired_tests(scores.values, theirs.values),
            }
    if per_question_file is not None:
        try:
            write_text(per_question_file, json.dumps(questions, indent=1) + "\n")
        except OSError as error:
            raise UserError(f"{per_question_file}: {error.strerror}; give a file that can be written") from None
    return Scored(result if several else next(iter(result.values())), notes)


def _one(files: Sequence[TaskOutputs], task_name: str, where: Path) -> TaskOutputs:
    """The file of a task among several. A single file is taken as it is: what it says of its task is checked later."""
    if len(files) == 1:
        return files[0]
    named = [file for file in files if file.task_id == task_name]
    named = named or [file for file in files if task_name in _names_of(file)]
    if len(named) > 1:
        both = " and ".join(file.task_id for file in named)
        raise UserError(f"{where}: --task {task_name} may be {both}; give one of these names")
    if not named:
        there = ", ".join(file.task_id for file in files)
        raise UserError(f"{where}: holds no outputs of {task_name}; there are {there}")
    return named[0]


def _names_of(file: TaskOutputs) -> tuple[str, ...]:
    """What a file's task is called; nothing where the file does not say."""
    try:
        task = resolve_task(file)
    except UserError:
        return ()
    return (*lamp_ids(task), task.name)


def _paired(
    golds: Sequence[TaskOutputs],
    tasks: Sequence[Task],
    given: Sequence[TaskOutputs],
    gold_path: Path,
    path: Path,
    exactly: bool,
) -> list[TaskOutputs]:
    """Each gold file's predictions. exactly: there may be none of other tasks."""
    if len(golds) == len(given) == 1:
        return list(given)
    found: list[TaskOutputs | None] = []
    for gold_file, task in zip(golds, tasks, strict=True):
        names = (gold_file.task_id, *lamp_ids(task), task.name)
        fitting = sorted((file for file in given if file.task_id in names), key=lambda file: names.index(file.task_id))
        if len(fitting) > 1 and fitting[0].task_id != gold_file.task_id:
            both = " and ".join(file.task_id for file in fitting)
            raise UserError(f"{path}: {both} may both be {gold_file.task_id} of {gold_path}; leave one of them in it")
        found.append(next(iter(fitting), None))
    missing = [gold_file.task_id for gold_file, file in zip(golds, found, strict=True) if file is None]
    extra = [file.task_id for file in given if file not in found] if exactly else []
    if missing or extra:
        wrong = [f"{what} {', '.join(ids)}" for what, ids in (("lacks", missing), ("also has", extra)) if ids]
        raise UserError(f"{path}: {'; '.join(wrong)}: its tasks must be those of {gold_path}; --task ID scores one")
    return [file for file in found if file is not None]


def _notes(scores: TaskScores, task: Task, mode: Mode) -> list[str]:
    if not scores.unreadable:
        return []
    if "mae" in task.rules.metrics:
        kind = "without a number on the scale"
        effect = "each counts as the end of the scale farther from the gold rating"
        if mode == "lamp":
            effect += ", unless it is a finite number, which counts as it is"
    elif task.closed:
        kind, effect = "without a label", "each counts as wrong"
    else:
        kind, effect = "without text", "each scores 0"
    return [f"{scores.task_id}: {some(kind, scores.unreadable)}; {effect}"]
