"""Metrics of a task's answers. Every function takes golds and answers by position and normalises both itself.

accuracy, macro_f1: of 1. macro_f1 is over the task's full label list, a label that never occurs counts 0 (LaMP).
mae, rmse: on the task's scale; an answer that is no number counts as the end of the scale farther from gold (LaMP).
rouge1, rougeL: mean F-measure of 1 (see `hydra_ray.core.rouge`). bleu: sacrebleu's corpus BLEU, of 100; by characters
where scripts write no blanks, unless the task's `rouge` is `lamp`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hydra_ray.core.answers.parse import parse_answer, parse_gold
from hydra_ray.core.rouge import RougeTokens, rouge_1, rouge_l
from hydra_ray.core.tasks import Task
from hydra_ray.core.unicode_words import spaced

Floats = NDArray[np.float64]


def generation_score(gold: str, text: str, how: RougeTokens) -> float:
    """(ROUGE-1 + ROUGE-L) / 2, in [0, 1]: what generation labels compare (HYDRA, section on LLM feedback)."""
    return (rouge_1(gold, text, how) + rouge_l(gold, text, how)) / 2


@dataclass(frozen=True, slots=True)
class Additive:
    """A metric as a function of sums over rows, so that any weighting of rows needs no second pass over the texts.

    rows: float64 [rows, s], what each row adds. finish: sums [..., s] -> metric [...].
    """

    rows: Floats
    finish: Callable[[Floats], Floats]

    def value(self) -> float:
        """The metric of all rows."""
        return float(self.finish(self.rows.sum(axis=0)))


def additive(task: Task, golds: Sequence[str], preds: Sequence[str | None], metric: str | None = None) -> Additive:
    """One metric (default: the task's primary one) in additive form; exact for all of them, macro_f1 and bleu too.

    Raises ValueError if the lengths differ, nothing is given, or a rating's gold is no number.
    """
    metric = metric or task.primary_metric
    true, found = _normalised(task, golds, preds)
    if metric == "macro_f1":
        return Additive(_confusion(task.labels, true, found), _macro_f1)
    if metric == "bleu":
        if task.rouge == "unicode":
            true, found = [spaced(text) for text in true], [spaced(text) for text in found]
        return Additive(_bleu_counts(true, found), _bleu)
    values = np.ones((len(true), 2))
    values[:, 0] = _row_values(task, true, found, metric)
    return Additive(values, _root_mean if metric == "rmse" else _mean)


def score_all(task: Task, golds: Sequence[str], preds: Sequence[str | None]) -> dict[str, float]:
    """Every metric of the task's kind, by name, over all rows; None is a missing answer and counts as an empty one.

    Raises ValueError as `additive` does.
    """
    names = task.rules.metrics
    if task.primary_metric not in names:
        names = (task.primary_metric, *names)
    return {name: additive(task, golds, preds, name).value() for name in names}


def row_scores(task: Task, golds: Sequence[str], preds: Sequence[str | None]) -> Floats:
    """float64 [rows], ALWAYS higher is better: how good each single answer is.

    By primary metric: accuracy and macro_f1: 1 if right, else 0; mae: minus the absolute error; rmse: minus the squared
    error; rouge1, rougeL: the F-measure; bleu: (ROUGE-1 + ROUGE-L) / 2, as BLEU of one short text says little.
    Raises ValueError as `additive` does.
    """
    true, found = _normalised(task, golds, preds)
    metric = {"macro_f1": "accuracy", "bleu": "generation_score"}.get(task.primary_metric, task.primary_metric)
    values = _row_values(task, true, found, metric)
    return values if task.higher_is_better else -values


def _normalised(task: Task, golds: Sequence[str], preds: Sequence[str | None]) -> tuple[list[str], list[str]]:
    if len(golds) != len(preds):
        raise ValueError(f"{len(golds)} gold answers but {len(preds)} answers")
    if not golds:
        raise ValueError("no answers to score")
    return [parse_gold(task, gold) for gold in golds], [parse_answer(task, pred) for pred in preds]


def _row_values(task: Task, golds: Sequence[str], preds: Sequence[str], metric: str) -> Floats:
    """float64 [rows] in the metric's own direction; golds and preds are normalised."""
    pairs = list(zip(golds, preds, strict=True))
    if metric == "accuracy":
        return np.array([gold == pred for gold, pred in pairs], dtype=np.float64)
    if metric in ("mae", "rmse"):
        errors = np.array([_rating_error(task, gold, pred) for gold, pred in pairs])
        return errors if metric == "mae" else errors**2
    score = {"rouge1": rouge_1, "rougeL": rouge_l, "generation_score": generation_score}[metric]
    return np.array([score(gold, pred, task.rouge) for gold, pred in pairs])


def _rating_error(task: Task, gold: str, pred: str) -> float:
    scale = [float(label) for label in task.labels]
    try:
        value = float(gold)
    except ValueError:
        raise ValueError(f"task {task.name}: the gold rating {gold!r} is no number") from None
    return abs(value - float(pred)) if pred else max(abs(value - min(scale)), abs(value - max(scale)))


def _mean(sums: Floats) -> Floats:
    return np.asarray(sums[..., 0] / sums[..., 1])


def _root_mean(sums: Floats) -> Floats:
    return np.sqrt(_mean(sums))


def _confusion(labels: Sequence[str], golds: Sequence[str], preds: Sequence[str]) -> Floats:
    """float64 [rows, 3 x labels]: for each label right, answered, true."""
    column = {label: i for i, label in enumerate(labels)}
    counts = np.zeros((len(golds), 3, len(labels)))
    for row, (gold, pred) in enumerate(zip(golds, preds, strict=True)):
        if pred in column:
            counts[row, 1, column[pred]] = 1
        if gold in column:
            counts[row, 2, column[gold]] = 1
            counts[row, 0, column[gold]] = gold == pred
    return counts.reshape(len(golds), -1)


def _macro_f1(sums: Floats) -> Floats:
    """Mean over labels of 2 right / (answered + true); 0 for a label that is neither (scikit-learn's 0)."""
    right, answered, true = np.split(sums, 3, axis=-1)
    return np.asarray(np.mean(2 * right / np.maximum(answered + true, 1), axis=-1))


def _bleu_counts(golds: Sequence[str], preds: Sequence[str]) -> Floats:
    """float64 [rows, 10]: words of the answer, words of the gold, right 1- to 4-grams, all 1- to 4-grams."""
    from sacrebleu.metrics.bleu import BLEU  # slow to import, and only generation needs it

    scorer = BLEU(effective_order=True)
    scores = [scorer.sentence_score(pred, [gold]) for gold, pred in zip(golds, preds, strict=True)]
    return np.array([[s.sys_len, s.ref_len, *s.counts, *s.totals] for s in scores], dtype=np.float64)


def _bleu(sums: Floats) -> Floats:
    """BLEU of 100 (Papineni et al., 2002): brevity penalty x geometric mean of 1- to 4-gram precisions.

    Smoothed as sacrebleu's default `exp`: the i-th precision without a hit becomes 1 / (2^i x its n-grams).
    """
    words, gold_words, right, total = sums[..., 0], sums[..., 1], sums[..., 2:6], sums[..., 6:10]
    missed = right == 0
    halvings = np.where(missed, 2.0 ** np.cumsum(missed, axis=-1), 1.0)
    precision = np.where(missed, 1.0, right) / (halvings * np.maximum(total, 1))
    brevity = np.exp(np.minimum(0.0, 1 - gold_words / np.maximum(words, 1e-9)))
    score = 100 * brevity * np.exp(np.mean(np.log(precision), axis=-1))
    return np.where(missed.all(axis=-1) | (total == 0).any(axis=-1), 0.0, score)
