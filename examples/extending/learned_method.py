"""A row of the result table that learns: a user's habit, smoothed by what the training users answer."""

import json
from collections import Counter

from hydra_ray.core.answers.parse import parse_gold
from hydra_ray.methods.method import Method
from hydra_ray.methods.question import AnsweredQuestion
from hydra_ray.methods.training import MethodTraining
from hydra_ray.registries import METHODS

WEIGHT = 2.0  # as many answers of the user as all training users together count for


def train(training: MethodTraining) -> None:
    """Writes the share of each answer among the training users' history items."""
    answers = (parse_gold(training.task, item.answer) for user in training.users() for item in user.items)
    counts = Counter(answer for answer in answers if answer)
    shares = {answer: count / counts.total() for answer, count in counts.items()}
    (training.folder / "shares.json").write_text(json.dumps(shares))


def answer(question: AnsweredQuestion) -> str | None:
    """The answer with the most weight; the LLM is not asked."""
    shares = json.loads((question.trained / "shares.json").read_text())
    given = Counter(parse_gold(question.task, text) for text in question.history)
    return max(shares | given, key=lambda text: WEIGHT * shares.get(text, 0) + given[text], default=None)


METHODS.register("smoothed_habit")(
    Method("smoothed habit", "habits of one and of all", lambda _: {}, answer, train=train, group="others that train")
)
