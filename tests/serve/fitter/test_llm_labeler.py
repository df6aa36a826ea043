import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from hydra_ray.core.labeling import Row
from hydra_ray.inference.types import DeadlineError, LLMDownError, LLMResponse, OverloadedError, RefusedError
from hydra_ray.llm.client import MAX_CONSECUTIVE_FAILURES as MOST
from hydra_ray.llm.types import Request
from hydra_ray.pipeline.stage_rows import LabelRow, PromptedRow
from hydra_ray.serve.fitter.llm_labeler import AnsweredRows, LLMLabeler
from tests.serve.fit_world import BlackBox


def prompted(*counts: int) -> list[PromptedRow[LabelRow]]:
    """Rows with so many requests each, whose prompts are counted through."""
    numbers = iter(range(sum(counts)))
    return [
        PromptedRow(
            LabelRow(Row("u", f"p:{i}", "text", "gold", ()), (float(i),), ()),
            tuple(Request(({"role": "user", "content": str(next(numbers))},)) for _ in range(count)),
        )
        for i, count in enumerate(counts)
    ]


def number(request: Request) -> int:
    return int(request.messages[0]["content"])


def ask(
    rows: list[PromptedRow[LabelRow]],
    answers: Callable[[int], bool],
    error: Exception | None = None,
    in_flight: int = 1,
) -> AnsweredRows[LabelRow]:
    def answer(request: Request) -> tuple[str, ...]:
        return (f"a{number(request)}",) if answers(number(request)) else ()

    box = BlackBox(answer, error or LLMDownError("gone"))
    return asyncio.run(LLMLabeler(box, in_flight, 5.0).answer(rows))


def test_answers_stand_by_their_requests_and_a_missing_one_shifts_nothing() -> None:
    found = ask(prompted(2, 0, 3), lambda i: i != 1, in_flight=4)
    assert [row.query.answers for row in found.rows] == [(("a0",), ()), (), (("a2",), ("a3",), ("a4",))]
    assert [row.normalized_scores for row in found.rows] == [(0.0,), (1.0,), (2.0,)]
    assert (found.calls, found.missing) == (5, 1)


def test_nothing_to_ask_is_no_mistake() -> None:
    found = ask(prompted(0, 0), lambda i: False)
    assert [row.query.answers for row in found.rows] == [(), ()]
    assert (found.calls, found.missing) == (0, 0)


@pytest.mark.parametrize("error", [LLMDownError("gone"), RefusedError("too long"), DeadlineError("late")])
def test_where_no_request_is_answered_the_error_is_raised(error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)):
        ask(prompted(3), lambda i: False, error)


def test_a_server_that_breaks_down_in_between_ends_it() -> None:
    with pytest.raises(LLMDownError):
        ask(prompted(MOST + 2), lambda i: i < 2)
    assert ask(prompted(MOST + 2), lambda i: i < 3).missing == MOST - 1
    assert ask(prompted(3 * MOST), lambda i: i % MOST == 0).missing == 3 * MOST - 3


def test_refused_prompts_say_nothing_about_the_server() -> None:
    assert ask(prompted(MOST + 2), lambda i: i < 1, RefusedError("too long")).missing == MOST + 1


def test_a_rate_limit_is_waited_for_however_often_it_takes() -> None:
    class Limited(BlackBox):
        refusals = 20

        async def sample(self, request: Request, **how: Any) -> LLMResponse:
            if self.refusals:
                self.refusals -= 1
                raise OverloadedError(0.0)
            return await super().sample(request, **how)

    found = asyncio.run(LLMLabeler(Limited(lambda request: ("a",)), 2, 5.0).answer(prompted(3)))
    assert [row.query.answers for row in found.rows] == [(("a",),) * 3]
    assert (found.calls, found.missing) == (3, 0)
