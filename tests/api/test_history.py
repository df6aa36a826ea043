"""A history that is given with the question."""

import hydra_ray
from hydra_ray.core.hashing import stable_seed
from tests.api.finished_run import TASK, made_users

USER = made_users()[1]
QUERY = USER.questions[0].text

HISTORY = [{"text": item.text, "answer": item.answer, "date": item.date, "item_id": item.item_id}
           for item in USER.items]  # fmt: skip


def llm(messages: list[dict[str, str]], n: int, temperature: float, max_tokens: int) -> list[str]:
    """Answers by a hash of the prompt."""
    prompt = messages[-1]["content"]
    return [TASK.labels[stable_seed(prompt, i if temperature else 0) % 6] for i in range(n)]


def test_a_given_history_is_answered_with_the_shared_heads(pipe: hydra_ray.HydraPipeline) -> None:
    known, given = pipe.personalize(QUERY, user_id=USER.user_id), pipe.personalize(QUERY, history=HISTORY)
    assert given.trace.versions.own_heads == []
    assert given.trace.user_id is None
    assert {item.item_id for item in given.trace.retrieved} == {item.item_id for item in known.trace.retrieved}
    scores = [[item.reranker for item in made.trace.retrieved] for made in (known, given)]
    assert scores[0] != scores[1]
    assert given.trace.items == len(HISTORY)


def test_the_order_of_a_history_is_that_of_its_dates(pipe: hydra_ray.HydraPipeline) -> None:
    one, other = (pipe.personalize(QUERY, history=items) for items in (HISTORY, HISTORY[::-1]))
    assert one.trace.candidates == other.trace.candidates
    assert one.trace.retrieved == other.trace.retrieved


def test_an_empty_history_is_answered_too(pipe: hydra_ray.HydraPipeline) -> None:
    made = pipe.personalize(QUERY, history=[])
    assert made.trace.prompt.examples == 0
    assert made.answer in TASK.labels
