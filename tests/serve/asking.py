"""Clients that ask a service from threads of their own until a context ends."""

import threading
from collections.abc import Callable, Sequence
from typing import Self


class AskingThreads:
    """Each of `asks` runs in a thread and is to return soon once `ending` is set."""

    def __init__(self, asks: Sequence[Callable[[], object]]) -> None:
        self.ending = threading.Event()
        self._threads = [threading.Thread(target=ask) for ask in asks]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        for thread in self._threads:
            thread.join()
