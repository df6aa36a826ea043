"""Numbers and findings of a report as words: shared by terminal, Markdown and HTML."""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra_ray.core.pairwise import LEVEL, least_p
from hydra_ray.report.methods import method_of

METRIC_TITLES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "mae": "MAE",
    "rmse": "RMSE",
    "rouge1": "ROUGE-1",
    "rougeL": "ROUGE-L",
    "bleu": "BLEU",
}
MINUS = "\u2212"


def metric_title(name: str) -> str:
    return METRIC_TITLES.get(name, name)


def score(metric: str, value: float | None) -> str:
    """A metric's value as tables show it: BLEU of 100 with one digit, the others with three. Zero has no sign."""
    if value is None:
        return "-"
    return (f"{value:z.1f}" if metric == "bleu" else f"{value:z.3f}").replace("-", MINUS)


def score_range(metric: str, ends: Sequence[float | None]) -> str:
    """`0.012 to 0.090`."""
    return f"{score(metric, ends[0])} to {score(metric, ends[1])}"


def percent(share: float | None, signed: bool = False) -> str:
    """A share in per cent: `+9.0 %`."""
    if share is None:
        return "-"
    text = f"{100 * share:+z.1f} %" if signed else f"{100 * share:z.0f} %"
    return text.replace("-", MINUS)


def percent_range(ends: list[float | None] | None) -> str:
    """`+1.2 % to +9.0 %`; an end that is not finite is `-`."""
    return "-" if ends is None else f"{percent(ends[0], True)} to {percent(ends[1], True)}"


def count(value: float | None) -> str:
    """A whole number: 12,345."""
    return "-" if value is None else f"{value:,.0f}"


def duration(seconds: float) -> str:
    """`850 ms`, `12.3 s`, `4 min 05 s`, `2 h 03 min`."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def protocol(report: Mapping[str, Any]) -> str:
    """Who was trained on and tested: `100 training users, 50 test users, 150 questions, seeds 0, 1`."""
    users, folds, seeds = report["users"], report["folds"], report["seeds"]
    trained = f"{count(users['train'])} training users"
    trained += f" in each of {folds} folds" if folds else ""
    return (
        f"{trained}, {count(users['test'])} test users, {count(report['questions'])} questions,"
        f" seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    )


def verdict(report: Mapping[str, Any]) -> str:
    """What the interval of the gain says: `better`, `worse`, `too few users`, `not shown` or `no comparison`."""
    ends = report["relative_gain_ci95"]
    if report["relative_gain"] is None or ends is None:
        return "no comparison"
    low, high = ends
    above, below = low is not None and low > 0, high is not None and high < 0
    if not above and not below:
        return "not shown"
    if least_p(report["users_that_differ"]) > LEVEL:
        return "too few users"
    return "better" if above else "worse"


def incomplete(report: Mapping[str, Any], name: str) -> str:
    """What marks a method that lacks answers: ` (12 of 60 answers missing)`; "" if none are missing."""
    missing = report["incomplete"].get(name)
    return f" ({missing})" if missing else ""


def cost(value: float | None) -> str:
    """The LLM's cost at the configured prices; without prices it is unknown, not zero."""
    return "unknown, no prices are set" if value is None else f"{value:.4g}"


def finding(report: Mapping[str, Any]) -> str:
    """The run's main finding in sentences."""
    best, metric = report["best_prompt_method"], report["primary_metric"]
    if report["relative_gain"] is None:
        return "No relative gain: HYDRA or every method that trains nothing is missing, or the baseline is at zero."
    ours, theirs = report["methods"]["hydra"][metric], report["methods"][best][metric]
    kind = "gain" if report["higher_is_better"] else "error reduction"
    closing = {
        "better": "The interval lies above zero.",
        "worse": "The interval lies below zero: HYDRA is worse here.",
        "too few users": f"Too few users differ ({report['users_that_differ']}) to show a difference.",
        "not shown": "The interval contains zero: no difference is shown on these users.",
        "no comparison": "",
    }[verdict(report)]
    return (
        f"{metric_title(metric)} {score(metric, ours)} for HYDRA{incomplete(report, 'hydra')}, {score(metric, theirs)}"
        f" for the best method that trains nothing ({method_of(best).title}{incomplete(report, best)}):"
        f" relative {kind} {percent(report['relative_gain'], True)}, 95 %"
        f" interval {percent_range(report['relative_gain_ci95'])}. {closing}"
        f" {users_finding(report['user_effects'])}"
    )


def users_finding(users: Mapping[str, Any]) -> str:
    """Who gains and who loses, in sentences."""
    bare = ", ".join(
        f"{name} {percent(users[name])} ({share_range(users[name + '_ci95'])})" for name in ("helped", "harmed")
    )
    clear = (
        f" Of the {percent(users['testable'])} of users with questions enough for a test of their own,"
        f" {percent(users['harmed_clear'] / users['testable'])} are clearly harmed."
        if users["testable"]
        else " Users have too few questions for a test of their own."
    )
    return (
        f"Users {bare}. Harmed beyond chance: {percent(users['harmed_excess'], True)}"
        f" ({percent_range(users['harmed_excess_ci95'])}) of users, against random signs.{clear}"
    )


def share_range(ends: Sequence[float]) -> str:
    """`38 % to 52 %`."""
    return f"{percent(ends[0])} to {percent(ends[1])}"


def conclusion(report: Mapping[str, Any]) -> str:
    """A caption for the headline number."""
    return {
        "better": "better: the 95 % interval lies above zero",
        "worse": "worse: the 95 % interval lies below zero",
        "too few users": f"no difference shown: too few users differ ({report['users_that_differ']})",
        "not shown": "no difference shown: the 95 % interval contains zero",
        "no comparison": "nothing to compare with",
    }[verdict(report)]
