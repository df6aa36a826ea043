"""Whether two sets of predictions for the same questions differ by more than chance. Pure.

Yes-or-no measures: McNemar's test, exact (two-sided binomial on the questions that one side alone answers right).
All others: two-tailed paired t-test. Both as the LaMP papers do. These take each question as a draw of its own; where
users have several questions, the report's intervals over users are the ones to trust.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats

from hydra_ray.core.user_effects import Floats, interval, resampled

BINARY = "accuracy"
"""The measure whose values are 0 and 1."""


def paired_test(measure: str, first: Floats, second: Floats, count: int = 10_000, seed: int = 0) -> dict[str, Any]:
    """One measure of two sides, question by question.

    Args:
        measure: Its name; `accuracy` is tested by McNemar's test.
        first: float64 [questions].
        second: float64 [questions], of the same questions.
        count: Resamples of the questions for the interval.
        seed: Of the resamples.

    Returns:
        `difference` (first less second, in the mean), `ci95` (percentile interval over questions), `test` and `p`.
    """
    gap = first - second
    draws = np.concatenate([times @ gap / len(gap) for times in resampled(len(gap), count, seed)])
    found: dict[str, Any] = {"difference": float(gap.mean()), "ci95": list(interval(draws))}
    if measure == BINARY:
        wins, losses = int((gap > 0).sum()), int((gap < 0).sum())
        p = float(stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
        return {**found, "test": "McNemar, exact", "p": p}
    return {**found, "test": "paired t-test", "p": _t_test(gap)}


def _t_test(gap: Floats) -> float | None:
    """Two-tailed p; 1 for sides that are equal everywhere, None for a single question, which shows nothing."""
    if not gap.any():
        return 1.0
    if len(gap) < 2:
        return None
    error = gap.std(ddof=1) / np.sqrt(len(gap))
    if error == 0:
        return 0.0
    return float(2 * stats.t.sf(abs(gap.mean() / error), len(gap) - 1))


def paired_tests(first: Mapping[str, Floats], second: Mapping[str, Floats]) -> dict[str, dict[str, Any]]:
    """`paired_test` of every measure that the two sides share."""
    return {name: paired_test(name, first[name], second[name]) for name in first if name in second}
