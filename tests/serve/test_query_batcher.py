"""Queries become batches: what gathers, what waits, and for how long."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence

import pytest

from hydra_ray.serve.query_batcher import BatchWindow, QueryBatcher

NEVER = math.inf


class Doubling:
    """Doubles numbers, a batch whenever the test says so."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun, self.go = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        self.begun.release()
        await self.go.acquire()
        return [2 * number for number in numbers]


def play(course: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(course(), 60))


def test_while_one_batch_is_worked_on_the_next_gathers_and_follows_at_once() -> None:
    async def course() -> None:
        work = Doubling()
        batcher = QueryBatcher(work, most=3, longest_s=0.0)
        first = asyncio.create_task(batcher.submit(1, NEVER))
        await work.begun.acquire()
        others = [asyncio.create_task(batcher.submit(number, NEVER)) for number in (2, 3, 4, 5)]
        for _ in range(3):
            work.go.release()
        assert await asyncio.gather(first, *others) == [2, 4, 6, 8, 10]
        assert work.batches == [[1], [2, 3, 4], [5]]

    play(course)


def test_queries_that_come_closely_wait_until_a_batch_is_full() -> None:
    async def course() -> None:
        work = Doubling()
        work.go.release()
        batcher = QueryBatcher(work, most=3, longest_s=600.0)  # far above a gap between two queries
        assert await asyncio.gather(*[batcher.submit(number, NEVER) for number in (1, 2, 3)]) == [2, 4, 6]
        assert work.batches == [[1, 2, 3]]

    play(course)


def test_the_window_opens_when_queries_come_closely_and_closes_when_they_do_not() -> None:
    window = BatchWindow(0.002)
    window.arrived(100.0)
    assert window.seconds == 0  # of one query nothing is known
    for i in range(1, 41):
        window.arrived(100.0 + i * 0.0005)
    assert window.seconds == 0.002
    window.arrived(101.0)
    assert window.seconds == 0
    window.arrived(90.0)  # no clock goes back, but nothing would break
    assert BatchWindow(0.0).seconds == 0


def test_whose_deadline_has_passed_is_not_worked_on() -> None:
    async def course() -> None:
        work = Doubling()
        work.go.release()
        batcher = QueryBatcher(work, most=2, longest_s=0.0)
        assert await asyncio.gather(batcher.submit(1, 0.0), batcher.submit(2, NEVER)) == [None, 4]
        assert work.batches == [[2]]

    play(course)


def test_a_caller_who_has_gone_costs_no_place() -> None:
    async def course() -> None:
        work = Doubling()
        batcher = QueryBatcher(work, most=2, longest_s=0.0)
        first = asyncio.create_task(batcher.submit(1, NEVER))
        await work.begun.acquire()
        gone, *others = [asyncio.create_task(batcher.submit(number, NEVER)) for number in (2, 3, 4)]
        await asyncio.sleep(0)
        gone.cancel()
        for _ in range(2):
            work.go.release()
        assert await asyncio.gather(first, *others) == [2, 6, 8]
        assert work.batches == [[1], [3, 4]]

    play(course)


def test_an_error_is_its_batchs_alone() -> None:
    async def course() -> None:
        async def work(numbers: Sequence[int]) -> list[int]:
            if 1 in numbers:
                raise ValueError("one")
            return list(numbers)

        batcher = QueryBatcher(work, most=1, longest_s=0.0)
        failed, fine = await asyncio.gather(batcher.submit(1, NEVER), batcher.submit(2, NEVER), return_exceptions=True)
        assert isinstance(failed, ValueError)
        assert fine == 2

    play(course)


@pytest.mark.parametrize("longest_s", [0.0, 0.001])
def test_a_single_query_is_answered(longest_s: float) -> None:
    async def course() -> None:
        work = Doubling()
        work.go.release()
        assert await QueryBatcher(work, most=8, longest_s=longest_s).submit(21, NEVER) == 42

    play(course)
