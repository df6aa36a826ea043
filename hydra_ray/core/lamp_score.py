"""LaMP's scores of one task's predictions, in two modes. Pure.

    lamp   outputs are stripped and nothing else, as LaMP's scorer does: a label must be written exactly, a rating is
           whatever `float` reads.
    ours   outputs are read as hydra_ray reads an LLM's answers (`hydra_ray.core.answers.parse`).

accuracy, f1 (classification): of 1. A label that is not in the task's list is wrong; f1 is the macro mean over the
whole list. MAE, RMSE (rating): an output that is no number counts as the end of the scale farther from the gold rating,
and as the upper end where both are as far. rouge-1, rouge-L (generation): the exact mean of the F-measures, without
stemmer. LaMP's released figures are the median of 1,000 bootstrap means instead, which differs in the fourth digit and
from run to run.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hydra_ray.core.answers.parse import is_label, parse_answer, parse_gold
from hydra_ray.core.rouge import RougeTokens, rouge_1, rouge_l
from hydra_ray.core.tasks import Task, builtin_tasks, load_task
from hydra_ray.errors import UserError

Mode = Literal["lamp", "ours"]
Floats = NDArray[np.float64]
NAMED = 3
"""Ids that a message names at most."""
OPPU_MOVIES = "LaMP_8"
"""How OPPU's label files call the movie tags, which LaMP calls LaMP_2."""


@dataclass(frozen=True, slots=True)
class TaskOutputs:
    """One task's golds or predictions as a file holds them.

    Attributes:
        where: The file, for messages.
        task_id: What it says its task is.
        outputs: (question id, output) in the file's order; ids may repeat.
    """

    where: str
    task_id: str
    outputs: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class TaskScores:
    """What one task's predictions come to.

    Attributes:
        task_id: As the golds call the task.
        ids: The questions, in the golds' order.
        golds: Their gold outputs.
        predictions: The outputs that are scored.
        metrics: Name -> value over all questions.
        values: Measure -> float64 [questions], what each question adds.
        unreadable: Ids of the predictions that are no answer of the task: no label, no number on the scale, no text.
    """

    task_id: str
    ids: tuple[str, ...]
    golds: tuple[str, ...]
    predictions: tuple[str, ...]
    metrics: Mapping[str, float]
    values: Mapping[str, Floats]
    unreadable: tuple[str, ...]


def resolve_task(golds: TaskOutputs, name: str | None = None) -> Task:
    """The task whose answers the golds are.

    Args:
        golds: The gold outputs. LaMP_2 is movies in some of LaMP's releases and news in others: the labels decide.
        name: The task by a LaMP id, the name of a built-in task or the path of a task's file; None: as the golds say.

    Raises:
        UserError: There is no such task, or the golds are another's.
    """
    wanted = name or golds.task_id
    known = [load_task(task) for task in builtin_tasks()]
    found = [task for task in known if wanted == task.name or wanted in lamp_ids(task)]
    if not found and name:
        found = [load_task(name)]
    if not found:
        raise UserError(f"{golds.where}: task {wanted!r} is none of LaMP's; name it with --task ID or --task FILE.yaml")
    if len(found) > 1:
        found = sorted(found, key=lambda task: -sum(text.strip() in task.labels for _, text in golds.outputs))
    check_task(golds, found[0])
    return found[0]


def lamp_ids(task: Task) -> tuple[str, ...]:
    """What files call the task."""
    return (*task.lamp_ids, OPPU_MOVIES) if "LaMP_2M" in task.lamp_ids else task.lamp_ids


def check_task(found: TaskOutputs, task: Task) -> None:
    """Raises UserError where a file says that its outputs are another task's."""
    ids = (*lamp_ids(task), task.name)
    if found.task_id not in ids:
        raise UserError(f"{found.where}: holds outputs of {found.task_id}, not of {ids[0]}; give that task's file")


def score_task(golds: TaskOutputs, predictions: TaskOutputs, task: Task, mode: Mode = "ours") -> TaskScores:
    """Scores one task's predictions.

    Args:
        golds: The gold outputs.
        predictions: Of exactly these questions, in any order.
        task: Whose outputs they are.
        mode: How outputs are read, see the module.

    Returns:
        Metrics over all questions, and what each question adds to them.

    Raises:
        UserError: Another task's outputs; ids that are missing, extra or repeated; golds that are no answers.
    """
    check_task(predictions, task)
    _check_ids(golds, predictions)
    by_id = dict(predictions.outputs)
    ids = tuple(key for key, _ in golds.outputs)
    true = tuple(text for _, text in golds.outputs)
    found = tuple(by_id[key] for key in ids)
    read_golds, read = _read_golds(golds, task, mode), [_read(task, mode, text) for text in found]
    measured = task.rules.metrics
    if "mae" in measured:
        metrics, values = _ratings(task, read_golds, read)
    elif "accuracy" in measured:
        metrics, values = _labels(task, read_golds, read)
    else:
        metrics, values = _texts(read_golds, read, "lamp" if mode == "lamp" else task.rouge)
    unreadable = tuple(key for key, text in zip(ids, read, strict=True) if not is_answer(task, text))
    return TaskScores(golds.task_id, ids, true, found, metrics, values, unreadable)


def _check_ids(golds: TaskOutputs, predictions: TaskOutputs) -> None:
    """Each question of the golds once among the predictions, and no other."""
    if not golds.outputs:
        raise UserError(f"{golds.where}: holds no outputs of {golds.task_id}; give a file with some")
    check_unique(golds, "gold output")
    wanted, given = ({key: None for key, _ in file.outputs} for file in (golds, predictions))
    wrong = [
        some(what, keys)
        for what, keys in (
            ("repeated", repeated_ids(predictions)),
            ("missing", [key for key in wanted if key not in given]),
            ("extra", [key for key in given if key not in wanted]),
        )
        if keys
    ]
    if wrong:
        raise UserError(f"{predictions.where}: {'; '.join(wrong)}: there must be one prediction for each question of "
                        f"{golds.where}, and no other")  # fmt: skip


def repeated_ids(file: TaskOutputs) -> list[str]:
    """Ids of the questions that have several outputs."""
    return [key for key, times in Counter(key for key, _ in file.outputs).items() if times > 1]


def check_unique(file: TaskOutputs, what: str) -> None:
    """Raises UserError where a question has several outputs. what: one output is called."""
    repeated = repeated_ids(file)
    if repeated:
        raise UserError(f"{file.where}: {some('repeated', repeated)}; each question may have one {what}")


def some(what: str, ids: Sequence[str]) -> str:
    """ "4 missing (a, b, c, ...)": how many, and the first of them."""
    return f"{len(ids)} {what} ({', '.join(ids[:NAMED])}{', ...' if len(ids) > NAMED else ''})"


def _read_golds(golds: TaskOutputs, task: Task, mode: Mode) -> list[str]:
    read = [text.strip() if mode == "lamp" else parse_gold(task, text) for _, text in golds.outputs]
    wrong = [key for (key, _), text in zip(golds.outputs, read, strict=True) if not is_answer(task, text)]
    if wrong and task.closed:
        raise UserError(f"{golds.where}: {some('without an answer of ' + task.name, wrong)}; give that task's "
                        "gold file, or name another task with --task")  # fmt: skip
    return read


def _read(task: Task, mode: Mode, text: str) -> str:
    return text.strip() if mode == "lamp" else parse_answer(task, text)


def is_answer(task: Task, text: str) -> bool:
    """Whether an output that was read is one that the task knows."""
    if "mae" not in task.rules.metrics:
        return is_label(task, text)
    value, scale = _number(text), _scale(task)
    return value is not None and min(scale) <= value <= max(scale)


def _scale(task: Task) -> list[float]:
    return [float(label) for label in task.labels]


def _number(text: str) -> float | None:
    """A finite number, None for anything else: `float` also reads "nan" and "inf"."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _ratings(task: Task, golds: Sequence[str], texts: Sequence[str]) -> tuple[dict[str, float], dict[str, Floats]]:
    low, high = min(_scale(task)), max(_scale(task))
    errors = np.empty(len(golds))
    for i, (gold, text) in enumerate(zip(golds, texts, strict=True)):
        true, value = float(gold), _number(text)
        if value is None:
            value = low if abs(low - true) > abs(high - true) else high
        errors[i] = abs(value - true)
    squares = errors**2
    metrics = {"MAE": float(errors.mean()), "RMSE": float(math.sqrt(squares.mean()))}
    return metrics, {"absolute_error": errors, "squared_error": squares}


def _labels(task: Task, golds: Sequence[str], texts: Sequence[str]) -> tuple[dict[str, float], dict[str, Floats]]:
    right = np.array([gold == text for gold, text in zip(golds, texts, strict=True)], dtype=np.float64)
    hits = Counter(gold for gold, is_right in zip(golds, right, strict=True) if is_right)
    true, given = Counter(golds), Counter(texts)
    f1 = [2 * hits[label] / max(1, true[label] + given[label]) for label in task.labels]
    return {"accuracy": float(right.mean()), "f1": float(np.mean(f1))}, {"accuracy": right}


def _texts(golds: Sequence[str], texts: Sequence[str], how: RougeTokens) -> tuple[dict[str, float], dict[str, Floats]]:
    pairs = list(zip(golds, texts, strict=True))
    values = {
        "rouge-1": np.array([rouge_1(gold, text, how) for gold, text in pairs]),
        "rouge-L": np.array([rouge_l(gold, text, how) for gold, text in pairs]),
    }
    return {name: float(value.mean()) for name, value in values.items()}, values


def summary(scores: TaskScores, mode: Mode) -> dict[str, Any]:
    """The scores as JSON: task, mode, questions, unreadable predictions, metrics."""
    counts = {"questions": len(scores.ids), "unreadable": len(scores.unreadable)}
    return {"task": scores.task_id, "mode": mode, **counts, "metrics": dict(scores.metrics)}


def per_question(scores: TaskScores) -> list[dict[str, Any]]:
    """One object a question, in the golds' order: id, gold, prediction and what the question adds to each metric."""
    return [
        {
            "id": key,
            "gold": scores.golds[i],
            "prediction": scores.predictions[i],
            **{name: float(value[i]) for name, value in scores.values.items()},
        }
        for i, key in enumerate(scores.ids)
    ]
