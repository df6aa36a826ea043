"""Personal answers in this process: of a run's users, of a given history, with a fitted head, from a saved folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hydra_ray
from tests.api.answering import llm
from tests.api.finished_run import TASK, made_users, samples_of_evaluation

USER = made_users()[1]
QUERY = USER.questions[0].text

HISTORY = [{"text": item.text, "answer": item.answer, "date": item.date, "item_id": item.item_id}
           for item in USER.items]  # fmt: skip


def test_the_same_samples_give_the_evaluations_answers(run_folder: Path) -> None:
    samples = samples_of_evaluation(run_folder)
    run = hydra_ray.load_run(run_folder)
    pipe = hydra_ray.HydraPipeline.from_run(run, llm=lambda messages, n, t, m: samples[messages[-1]["content"]])
    for row in run.predictions().itertuples():
        made = pipe.personalize(row.text, user_id=row.user)
        assert made.answer == row.answer
        assert {candidate.text for candidate in made.trace.candidates} == set(row.candidates)
        own = ["reranker"] if row.user == "u00000001" else ["reranker", "adapter"]
        assert made.trace.versions.own_heads == own
        assert made.trace.degraded == []


def test_a_fitted_head_is_used(pipe: hydra_ray.HydraPipeline) -> None:
    head = pipe.fit(history=HISTORY)
    assert "fitted on 2 of the user's items and 8 LLM requests" in head.message
    own = [component for component, delta in head.deltas.items() if delta is not None]
    made = pipe.personalize(QUERY, history=HISTORY, head=head)
    assert own == made.trace.versions.own_heads != []
    before = pipe.personalize(QUERY, history=HISTORY)
    assert [c.adapter for c in made.trace.candidates] != [c.adapter for c in before.trace.candidates] or (
        [i.reranker for i in made.trace.retrieved] != [i.reranker for i in before.trace.retrieved]
    )


def test_settings_reach_the_llm(run_folder: Path) -> None:
    seen: list[tuple[int, float, int]] = []

    async def spy(messages: list[dict[str, str]], n: int, temperature: float, max_tokens: int) -> list[str]:
        seen.append((n, temperature, max_tokens))
        return llm(messages, n, temperature, max_tokens)

    with hydra_ray.HydraPipeline.from_run(run_folder, llm=spy) as pipe:
        made = pipe.personalize(QUERY, user_id=USER.user_id, n=5, temperature=0.5, max_tokens=7, plain=True)
    assert sorted(seen) == [(1, 0.0, 7), (5, 0.5, 7)]
    assert made.plain in TASK.labels
    assert 1 <= len(made.answers) <= 5


def bad_head(pipe: hydra_ray.HydraPipeline) -> Any:
    return pipe.personalize(QUERY, history=[], head=hydra_ray.UserHead({}, {"reranker": "abc"}, ""))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: p.personalize(QUERY, user_id="nobody"), "quickstart has no user 'nobody'"),
        (lambda p: p.personalize(QUERY), "give either user_id, a user of the run, or history"),
        (lambda p: p.personalize(QUERY, user_id="u00000002", history=[]), "give either user_id"),
        (lambda p: p.personalize(" ", user_id="u00000002"), "query: give the question's text"),
        (lambda p: p.personalize(QUERY, user_id="u00000002", n=0), "n: 0 answers cannot be given"),
        (lambda p: p.personalize(QUERY, history={"text": "a"}), "a list of items is wanted"),
        (lambda p: p.personalize(QUERY, history=["a"]), r"history\[0\]: an item is a dictionary"),
        (lambda p: p.personalize(QUERY, history=[{"txt": "a"}]), r"history\[0\]: unknown key 'txt'; an item has text"),
        (lambda p: p.personalize(QUERY, history=[{"answer": "dune"}]), r"history\[0\].text: every item needs a text"),
        (lambda p: p.personalize(QUERY, history=[{"text": "a", "answer": "no"}]), "'no' is no answer of task synth"),
        (lambda p: p.personalize(QUERY, history=[{"text": "a", "date": "soon"}]), "'soon' cannot be read; write it as"),
        (lambda p: p.personalize(QUERY, history=[{"text": "a", "item_id": "x"}] * 2), r"'x' is that of history\[0\]"),
        (lambda p: p.fit(history=[]), "there are no items to fit a head on"),
        (bad_head, "its reranker belongs to the base abc, this pipeline's is .*; fit it with this pipeline"),
    ],
)
def test_a_callers_mistake_is_one_clear_error(
    pipe: hydra_ray.HydraPipeline, call: Callable[[hydra_ray.HydraPipeline], Any], message: str
) -> None:
    with pytest.raises(hydra_ray.UserError, match=message):
        call(pipe)
