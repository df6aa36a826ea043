import asyncio

import pytest

from hydra_ray.serve.clients.gather import gather_or_cancel


async def later(value: int, seconds: float, ended: list[int] | None = None) -> int:
    try:
        await asyncio.sleep(seconds)
        return value
    finally:
        if ended is not None:
            ended.append(value)


async def broken() -> int:
    await asyncio.sleep(0)
    raise KeyError("broken")


def test_results_come_in_the_order_of_the_calls() -> None:
    assert asyncio.run(gather_or_cancel(later(i, 0.01 * (3 - i)) for i in range(3))) == [0, 1, 2]
    assert asyncio.run(gather_or_cancel([])) == []


def test_the_first_failure_is_raised_itself_and_ends_the_others() -> None:
    ended: list[int] = []
    with pytest.raises(KeyError):
        asyncio.run(gather_or_cancel([later(1, 60, ended), broken(), later(2, 60, ended)]))
    assert sorted(ended) == [1, 2]


def test_a_cancelled_caller_ends_all() -> None:
    ended: list[int] = []

    async def leave() -> None:
        waiting = asyncio.ensure_future(gather_or_cancel([later(1, 60, ended), later(2, 60, ended)]))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(leave())
    assert sorted(ended) == [1, 2]
