"""A row of the result table: samples after the newest items, and the user's own answers decide between them."""

from collections import Counter

from hydra_ray.core.answers.parse import parse_answer
from hydra_ray.methods.method import Method
from hydra_ray.methods.question import AnsweredQuestion, Call, QuestionContext
from hydra_ray.registries import METHODS

SAMPLES = "samples:newest"


def calls(question: QuestionContext) -> dict[str, Call]:
    """What the LLM is asked; the name of a call for samples begins with `samples:`."""
    return {SAMPLES: question.samples(question.retrieve("recency", 4))}


def answer(question: AnsweredQuestion) -> str | None:
    """Each sample is a vote, each answer that the user gave before is another; ties go to the earlier sample."""
    votes = Counter(parse_answer(question.task, text) for text in question.texts(SAMPLES))
    given = Counter(question.history)
    return max(votes, key=lambda text: votes[text] + given[text], default=None)


METHODS.register("newest_and_habit")(
    Method("newest + habit", "samples after the 4 newest items, chosen with the user's past answers", calls, answer)
)
