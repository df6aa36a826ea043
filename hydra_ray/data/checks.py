"""When an ingest must not go on in silence: a column that is missing, dates unread, rejects, no questions. Pure but for
the examples, which are read from the rejects."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra_ray.config import DataConfig
from hydra_ray.core.tasks import Task
from hydra_ray.data.formats.columns import missing_columns
from hydra_ray.data.rejects import REASONS, Reject, read_rejects
from hydra_ray.data.sources.find import Source
from hydra_ray.errors import UserError

UNREAD_DATES = 0.01
"""Share of the dates that may be unreadable."""

ITEM_REASONS = ("malformed_record", "malformed_item", "missing_answer", "answer_not_a_label", "empty_text",
                "conflicting_item", "missing_user", "broken_line")  # fmt: skip
QUESTION_REASONS = ("duplicate_question", "empty_question", "question_without_gold", "unusable_gold")
"""Reasons that say the data or the task are wrong. Others follow from the split or from the time of an item."""

NO_QUESTIONS = {
    "too_few_items": "with too few items",
    "undated": "without a single date (data.tabular.date_field=null: the order of the rows is that of time)",
    "too_few_older": "with too few items that are older than their newest (others share its date, or have none)",
    "before_date": "without a question from after data.questions_after",
}
_EXAMPLES = 3


def check_read(
    tally: Mapping[str, int], data: DataConfig, task: Task, root: Path | str, sources: tuple[Source, ...], out: Path
) -> None:
    """After all files are read. Raises UserError: a column that no row has, or too many dates that cannot be read.

    tally: the counts of all readers, added up. out: where the rejects are.
    """
    if data.source != "tabular":
        return
    where = sources[0].where if len(sources) == 1 else f"{root} ({len(sources)} files)"
    if missing := missing_columns(tally, task, data.tabular, where):
        raise UserError(missing)
    unread = tally.get("warnings/malformed_date", 0)
    dates = tally.get("dates", 0) + unread
    if data.tabular.bad_dates == "stop" and unread > UNREAD_DATES * dates:
        unreadable = examples(out, ["malformed_date"])["malformed_date"]
        shown = ", ".join(f"{r.detail!r} ({r.source} {r.record})" for r in unreadable)
        form = "give their form as data.tabular.date_format (such as %d/%m/%Y)"
        if data.tabular.date_format:
            form = f"they have another form than data.tabular.date_format={data.tabular.date_format!r}"
        raise UserError(
            f"{where}: {unread:,} of {dates:,} dates ({data.tabular.date_field}) cannot be read: {shown}: {form}, mend "
            "them, or set data.tabular.bad_dates=undated to go on without them"
        )


def check_counts(counts: Mapping[str, Any], data: DataConfig, root: Path | str, out: Path) -> None:
    """After all users are written. Raises UserError: no questions, or more rejects than `data.max_rejects`.

    counts: the content of `counts.json`. out: where the rejects are.
    """
    rejects = counts["rejects"]
    questions = sum(counts["questions"].values())
    items = sum(counts["items"].values()) + counts["repeats"]
    for what, kept, reasons in (("questions", questions, QUESTION_REASONS), ("items", items, ITEM_REASONS)):
        lost = sum(rejects.get(reason, 0) for reason in reasons)
        total = counts["lines"] if what == "items" and data.source == "tabular" else lost + kept
        if lost > data.max_rejects * total:
            advice = f"mend the data or the task, or set data.max_rejects={-(-100 * lost // total) / 100:g}"
            raise UserError(
                f"{root}: {lost:,} of {total:,} {what} ({lost / total:.0%}) cannot be used: "
                f"{listed(rejects, reasons, out)}: {advice}"
            )
    if questions == 0 and data.max_rejects < 1:
        early = "give an earlier data.questions_after, " if rejects.get("early_question") else ""
        raise UserError(f"{root}: no questions: {_why(counts, data, out)}, {early}or set data.max_rejects=1 to go on")


def listed(rejects: Mapping[str, int], reasons: tuple[str, ...], out: Path) -> str:
    """The commonest reasons with their counts, their meaning and an example of each."""
    found = sorted(((rejects[reason], reason) for reason in reasons if rejects.get(reason)), reverse=True)[:_EXAMPLES]
    first = examples(out, [reason for _, reason in found], 1)
    return "; ".join(f"{n:,} x {reason} ({REASONS[reason]}){example(first[reason])}" for n, reason in found)


def example(rejects: Sequence[Reject]) -> str:
    """ ", e.g. FILE RECORD: DETAIL" for the first reject, "" if there is none."""
    if not rejects:
        return ""
    detail = f": {rejects[0].detail[:100]}" if rejects[0].detail else ""
    return f", e.g. {rejects[0].source} {rejects[0].record}{detail}"


def examples(out: Path, reasons: Collection[str], count: int = _EXAMPLES) -> dict[str, list[Reject]]:
    """The first rejects of each of `reasons`, at most `count`; one pass over the rejects, ended when all are found."""
    found: dict[str, list[Reject]] = {reason: [] for reason in reasons}
    lacking = set(reasons)
    for reject in read_rejects(out) if lacking else ():
        if reject.reason in lacking:
            found[reject.reason].append(reject)
            if len(found[reject.reason]) == count:
                lacking.discard(reject.reason)
                if not lacking:
                    break
    return found


def _why(counts: Mapping[str, Any], data: DataConfig, out: Path) -> str:
    users = sum(counts["users"].values())
    if data.source != "tabular":
        shown = listed(counts["rejects"], (*QUESTION_REASONS, "early_question"), out)
        about = f" ({shown})" if shown else ""
        return f"the files hold items of {users:,} users and no usable question{about}: give files with questions"
    own = data.tabular
    reasons = [f"{counts['no_questions'][key]:,} {text}" for key, text in NO_QUESTIONS.items()
               if counts["no_questions"].get(key)]  # fmt: skip
    return (
        f"none of {users:,} users has tabular.questions={own.questions} items with tabular.min_items={own.min_items} "
        f"older ones each ({', '.join(reasons)}): lower either, give more rows a user, or dates with a time of day"
    )


def summary(counts: Mapping[str, Any], out: Path) -> list[str]:
    """The lines for the content of `counts.json`; examples come from the rejects under `out`."""
    users, asking, questions = (counts[name] for name in ("users", "users_with_questions", "questions"))
    lines = [
        f"{users['train']:,} train and {users['test']:,} test users ({asking['train']:,} and {asking['test']:,} with "
        f"questions), {sum(counts['items'].values()):,} items, {questions['train']:,} train and "
        f"{questions['test']:,} test questions"
    ]
    if without := [f"{n:,} {NO_QUESTIONS[reason]}" for reason, n in sorted(counts["no_questions"].items())]:
        lines.append(f"users without questions: {', '.join(without)}")
    first = examples(out, [*counts["rejects"], *counts["warnings"]], 1)
    for title, section in (("not used", "rejects"), ("used with a warning", "warnings")):
        found = sorted(((n, reason) for reason, n in counts[section].items()), reverse=True)
        lines += [f"{title}: {n:,} x {reason}: {REASONS[reason]}{example(first[reason])}" for n, reason in found]
    if counts["repeats"]:
        lines.append(f"{counts['repeats']:,} x the same item again: it counts once")
    if not counts["rejects"] and not counts["warnings"]:
        lines.append("no rejects")
    else:
        lines.append(f"all rejects and warnings: {out / 'rejects'}")
    return lines
