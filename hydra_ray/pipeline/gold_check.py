"""Golds in which ROUGE sees no word: every answer scores 0 on them, so it is worth a line before calls are paid for."""

from collections.abc import Iterable
from itertools import chain, islice

from hydra_ray.core.answers.parse import parse_gold
from hydra_ray.core.rouge import WORDS_SEEN, tokens
from hydra_ray.core.tasks import Task
from hydra_ray.core.types import User

CHECKED = 5000
"""Answers that are looked at."""
SHARE = 0.01
"""What share of them may be without a word before a line is worth it."""


def wordless_golds(task: Task, users: Iterable[User]) -> str:
    """A warning if ROUGE sees no word in many of the users' answers, "" if all is well; labels need no words."""
    if task.closed:
        return ""
    golds = chain.from_iterable(
        chain((q.gold for q in user.questions), (item.answer for item in user.items)) for user in users
    )
    checked = [parse_gold(task, gold) for gold in islice((gold for gold in golds if gold), CHECKED)]
    wordless = [gold for gold in checked if not tokens(gold, task.rouge)]
    if len(wordless) <= SHARE * len(checked):
        return ""
    advice = "put `rouge: unicode` into the task's YAML file" if task.rouge == "lamp" else "choose another answer_field"
    return (
        f"warning: ROUGE sees no word in {len(wordless)} of {len(checked)} answers looked at, such as"
        f" {wordless[0][:60]!r}, so every answer to them scores 0: words are {WORDS_SEEN[task.rouge]}; {advice}"
    )
