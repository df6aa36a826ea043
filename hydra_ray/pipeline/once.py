"""Steps that are asked for many times: each is worked out once a run.

Steps ask for the steps they read, so that without this the graph would be walked once for every path through it, with
the data set hashed anew each time.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar


class Keeps(Protocol):
    """What has the methods.

    Attributes:
        kept: What they have returned, by name and arguments.
    """

    kept: dict[object, object]


S = TypeVar("S", bound=Keeps)
P = ParamSpec("P")
R = TypeVar("R")


def once(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """A method whose first result for the same arguments, which must be hashable, is what it always returns. An
    exception is not kept."""

    @wraps(method)
    def kept(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        key = (method.__name__, args, tuple(sorted(kwargs.items())))
        if key not in self.kept:
            self.kept[key] = method(self, *args, **kwargs)
        found: R = self.kept[key]  # type: ignore[assignment]
        return found

    return kept
