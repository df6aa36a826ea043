"""An answered question, as methods see it."""

import pytest

from hydra_ray.config import Config
from hydra_ray.core.tasks import load_task
from hydra_ray.errors import UserError
from hydra_ray.pipeline.answered import EvaluatedQuestion
from tests.pipeline.answered_questions import answered_row


def test_a_method_that_reads_a_call_it_does_not_make_gets_the_list_of_those_there_are() -> None:
    row = answered_row({"greedy:mine": ("amber",)})
    question = EvaluatedQuestion(load_task("synthetic_tagging"), Config(), row, None)
    assert question.texts("greedy:mine") == ("amber",)
    with pytest.raises(UserError, match=r"reads the call 'greedy:yours'.*greedy:mine"):
        question.texts("greedy:yours")
