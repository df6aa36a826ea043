"""report.json: every number of a run, from the table of answers and what the stages counted."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from hydra_ray.core.bootstrap import BootstrapResult, bootstrap, compare_sampled, per_user_scores
from hydra_ray.core.metrics import Floats, row_scores, score_all
from hydra_ray.core.pairwise import parts_by_user, users_that_differ
from hydra_ray.core.rouge import WORDS_SEEN
from hydra_ray.core.tasks import HIGHER_IS_BETTER, Task
from hydra_ray.core.user_effects import group_users, user_effects
from hydra_ray.report.breakdowns import by_history, habit_answers
from hydra_ray.report.methods import FULL, ORACLES, UNGUARDED, in_order, method_of
from hydra_ray.report.retriever_choice import retriever_choice, with_retriever_oracles
from hydra_ray.report.rows import AnswerRow, answer_counts, check_rows, missing_count, sorted_rows

LLM_COUNTS = ("calls", "cached", "prompt_tokens", "completion_tokens", "cost")


@dataclass(frozen=True, slots=True)
class Costs:
    """What a run used. llm: calls, cached, prompt_tokens, completion_tokens, cost (in the currency of the prices; None
    where no prices are known).

    llm_by_stage: the same by stage. llm_answers: by stage, the LLM's `answers`, how many `hit_max_tokens`, are missing
    (`missing_answers`) or answer a shortened prompt (`degraded`), and how many are of no use by kind
    (`hydra_ray.llm.usability`). seconds: wall time by stage. rejects: reason -> records that were not used.
    warnings: reason -> records that were used with something amiss.
    heads: what was fitted -> `users`, `with_rows`, `kept_shared_head` (whose own rows could not beat the shared
    head), `guarded` (by their own queries) and `reused` (of an earlier run), all seeds together.
    truncated: what was cut to fit the LLM's window -> how often (`dropped_examples`, `clipped_texts`, `question_cut`).
    """

    llm: Mapping[str, float | None] = field(default_factory=dict)
    llm_by_stage: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    llm_answers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    rejects: Mapping[str, int] = field(default_factory=dict)
    warnings: Mapping[str, int] = field(default_factory=dict)
    heads: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    truncated: Mapping[str, int] = field(default_factory=dict)


def build_report(
    task: Task,
    rows: Sequence[AnswerRow],
    *,
    train_users: int,
    folds: int | None = None,
    config: Mapping[str, Any],
    costs: Costs | None = None,
    attainable: Mapping[str, float] | None = None,
    resamples: int = 10_000,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """The whole of report.json as plain, finite JSON values; it does not depend on the order of the rows.

    train_users: distinct users trained on. folds: of cross-fitting, if users were tested fold by fold; train_users is
    then what a fold was trained on. attainable: metric -> the best anyone can reach, where that is known.
    Metrics pool the rows of all seeds; `per_seed` holds the primary metric of each seed, its mean and its standard
    deviation. `best_prompt_method` is picked on the same questions, which favours the baseline. Intervals are 95 %
    ones over users. A number that does not exist (a gain without baseline, one over zero) is null.
    Raises ValueError as `check_rows` does.
    """
    check_rows(rows)
    rows, costs = with_retriever_oracles(task, sorted_rows(rows)), costs or Costs()
    users, golds = [row.user_id for row in rows], [row.gold for row in rows]
    answers = {name: [row.answers[name] for row in rows] for name in in_order(rows[0].answers)}
    seeds = sorted({row.seed for row in rows})
    sampled = bootstrap(task, users, golds, answers, resamples)
    scores = {name: per_user_scores(task, users, golds, preds) for name, preds in answers.items()}
    best = _best_prompt_method(task, sampled)
    against = _comparisons(task, rows, sampled, resamples)
    headline = against.get(best or "", {})
    unguarded = _comparisons(task, rows, sampled, resamples, UNGUARDED, [best or ""]).get(best or "")
    report: dict[str, Any] = {
        "task": task.name,
        "users": {"train": train_users, "test": len(set(users))},
        "questions": len(rows),
        "seeds": seeds,
        "folds": folds,
        "primary_metric": task.primary_metric,
        "higher_is_better": task.higher_is_better,
        "methods": {name: score_all(task, golds, preds) for name, preds in answers.items()},
        "methods_ci95": {name: list(result.ci95) for name, result in sampled.items()},
        "per_seed": {name: _per_seed(task, rows, seeds, name) for name in answers},
        "best_prompt_method": best,
        "relative_gain": headline.get("relative_gain"),
        "relative_gain_ci95": headline.get("relative_gain_ci95"),
        "absolute_gain": headline.get("difference"),
        "absolute_gain_ci95": headline.get("difference_ci95"),
        "users_that_differ": users_that_differ(
            *(parts_by_user(task, users, golds, answers[name]) for name in (FULL, best))
        )
        if best and headline
        else None,
        "users_helped": headline.get("users", {}).get("helped"),
        "users_harmed": headline.get("users", {}).get("harmed"),
        "user_effects": headline.get("users"),
        "hydra_against": against,
        "guard": {"with": headline, "without": unguarded} if headline and unguarded else None,
        "majority": habit_answers(task, rows, list(answers)),
        "oracles": _oracles(task, rows, resamples),
        "retriever_choice": retriever_choice(task, rows, resamples),
        "per_user": _per_user(users, scores, best),
        "by_history": by_history(task, rows, [name for name in ("zero_shot", best, FULL) if name in answers]),
        "answers": {
            name: {**answer_counts(task, preds), "missing": missing_count(rows, name)}
            for name, preds in answers.items()
        },
        "incomplete": {
            name: f"{count} of {len(rows)} answers missing" for name in answers if (count := missing_count(rows, name))
        },
        "llm_answers": {stage: dict(counts) for stage, counts in costs.llm_answers.items()},
        "users_without_history": len({row.user_id for row in rows if row.history_length == 0}),
        "attainable": dict(attainable) if attainable else None,
        "llm": {name: costs.llm.get(name, 0) for name in LLM_COUNTS},
        "llm_by_stage": {stage: dict(counts) for stage, counts in costs.llm_by_stage.items()},
        "heads": {name: dict(counts) for name, counts in costs.heads.items()},
        "truncated": dict(costs.truncated),
        "rejects": dict(costs.rejects),
        "warnings": dict(costs.warnings),
        "seconds": dict(costs.seconds),
        "metric_directions": {name: HIGHER_IS_BETTER[name] for name in score_all(task, golds[:1], [None])},
        "bootstrap": {"resamples": resamples, "over": "users", "level": 0.95},
        "notes": [*_words_note(task), *notes],
        "config": dict(config),
    }
    whole: dict[str, Any] = finite(report)
    return whole


def _words_note(task: Task) -> list[str]:
    return [f"The words of ROUGE and BLEU are {WORDS_SEEN[task.rouge]}."] if not task.closed else []


def _best_prompt_method(task: Task, sampled: Mapping[str, BootstrapResult]) -> str | None:
    """The best of all that train nothing, ties to the earlier in the catalogue; None if none was run."""
    names = [name for name in sampled if method_of(name).group == "trains nothing"]
    sign = 1 if task.higher_is_better else -1
    return max(names, key=lambda name: sign * sampled[name].value, default=None)


def _comparisons(
    task: Task,
    rows: Sequence[AnswerRow],
    sampled: Mapping[str, BootstrapResult],
    resamples: int,
    ours: str = FULL,
    baselines: Sequence[str] | None = None,
) -> dict[str, dict[str, Any]]:
    """`ours` against each baseline that was run (default: all others); {} if it was not run itself."""
    others = [name for name in sampled if name != ours and (baselines is None or name in baselines)]
    if ours not in sampled or not others:
        return {}
    golds = [row.gold for row in rows]
    scores = {name: row_scores(task, golds, [row.answers[name] for row in rows]) for name in (ours, *others)}
    gaps = {name: scores[ours] - scores[name] for name in others}
    users = user_effects([row.user_id for row in rows], [row.question_id for row in rows], gaps, resamples)
    return {name: asdict(compare_sampled(task, sampled[ours], sampled[name], users[name])) for name in others}


def _oracles(task: Task, rows: Sequence[AnswerRow], resamples: int) -> dict[str, dict[str, Any]]:
    """Every oracle's metrics and the interval of the primary one."""
    users, golds = [row.user_id for row in rows], [row.gold for row in rows]
    answers = {name: [row.oracles[name] for row in rows] for name in ORACLES if name in rows[0].oracles}
    sampled = bootstrap(task, users, golds, answers, resamples)
    return {
        name: {"metrics": score_all(task, golds, found), "ci95": list(sampled[name].ci95)}
        for name, found in answers.items()
    }


def _per_seed(task: Task, rows: Sequence[AnswerRow], seeds: Sequence[int], name: str) -> dict[str, Any]:
    values = {}
    for seed in seeds:
        golds, preds = zip(*((row.gold, row.answers[name]) for row in rows if row.seed == seed), strict=True)
        values[str(seed)] = score_all(task, golds, preds)[task.primary_metric]
    spread = statistics.stdev(values.values()) if len(values) > 1 else None
    return {"values": values, "mean": statistics.fmean(values.values()), "spread": spread}


def _per_user(users: Sequence[str], scores: Mapping[str, Floats], best: str | None) -> list[dict[str, Any]]:
    """Each test user's mean row score (higher is better) under HYDRA and the best prompt method, worst change first."""
    if FULL not in scores or best is None:
        return []
    names, user_of_row = group_users(users)
    counts = np.bincount(user_of_row, minlength=len(names))
    table = [
        {
            "user_id": name,
            "questions": int(counts[i]),
            "hydra": float(scores[FULL][i]),
            "best_prompt_method": float(scores[best][i]),
            "difference": float(scores[FULL][i] - scores[best][i]),
        }
        for i, name in enumerate(names)
    ]
    return sorted(table, key=lambda entry: (entry["difference"], entry["user_id"]))


def finite(value: Any) -> Any:
    """Plain JSON values, None for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
