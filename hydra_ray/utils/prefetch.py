"""The next item of a sequence is loaded in a thread while the present one is worked on."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")


def prefetched(items: Sequence[Item], load: Callable[[Item], Loaded]) -> Iterator[tuple[Item, Loaded]]:
    """Each item with what `load` makes of it, in order; one ahead of the caller.

    `load` runs in one thread, never twice at a time. What it raises is raised where its item would come.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch") as pool:
        ahead = pool.submit(load, items[0]) if items else None
        for i, item in enumerate(items):
            assert ahead is not None
            loaded = ahead.result()
            ahead = pool.submit(load, items[i + 1]) if i + 1 < len(items) else None
            yield item, loaded
