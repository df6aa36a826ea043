import asyncio
import threading

import pytest

from hydra_ray.llm.event_loop import EventLoopThread


def test_coroutines_run_in_one_other_thread_and_their_errors_come_back() -> None:
    async def where() -> int:
        return threading.get_ident()

    async def fail() -> None:
        raise LookupError("no such thing")

    loop = EventLoopThread("a-name")
    try:
        first = loop.run(where())
        assert first == loop.run(where()) != threading.get_ident()
        assert any(thread.name == "a-name" for thread in threading.enumerate())
        with pytest.raises(LookupError, match="no such thing"):
            loop.run(fail())
        assert loop.run(where()) == first
    finally:
        loop.close()
    assert not any(thread.name == "a-name" for thread in threading.enumerate())


def test_several_threads_may_ask_at_once() -> None:
    met = asyncio.Event()

    async def wait() -> str:
        await met.wait()
        return "met"

    async def meet() -> None:
        met.set()

    loop = EventLoopThread()
    found: list[str] = []
    waiting = threading.Thread(target=lambda: found.append(loop.run(wait())))
    waiting.start()
    loop.run(meet())
    waiting.join(10)
    loop.close()
    assert found == ["met"]
