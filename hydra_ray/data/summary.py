"""What an ingest says on the terminal: what was kept, what was not, and which rule decided."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra_ray.data.checks import NO_QUESTIONS, example, examples
from hydra_ray.data.rejects import REASONS


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
