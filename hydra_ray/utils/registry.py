"""Named things of one kind, to which other packages may add."""

import difflib
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any, Generic, NamedTuple, TypeVar

from hydra_ray.errors import UserError
from hydra_ray.utils import plugins

T = TypeVar("T")
Value = TypeVar("Value")


class _Entry(NamedTuple):
    """value: what is registered. origin: the module that did it. version: of what it does."""

    value: Any
    origin: str
    version: int


def resolve(reference: str | Value) -> Value | Any:
    """What "module:name" stands for, imported now; anything but a text is itself."""
    if not isinstance(reference, str):
        return reference
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


class Registry(Generic[T]):
    """Name -> value. What comes with hydra_ray is registered by modules that are imported when first asked for."""

    def __init__(self, kind: str, homes: Mapping[str, str]) -> None:
        """Args:
        kind: What is registered, in words: "retriever".
        homes: Name of each value that comes with hydra_ray -> the module that registers it when it is imported.
        """
        self.kind = kind
        self._homes = dict(homes)
        self._entries: dict[str, _Entry] = {}

    def register(self, name: str, *, version: int = 1) -> Callable[[Value], Value]:
        """A decorator, or a call `register(name)(value)`, that makes a value known by a name.

        Args:
            name: Stands in configurations.
            version: Is part of the address of every step that uses the value: raise it when its results change.

        Raises:
            UserError: Another module has registered a value by this name.
        """
        origin = str(sys._getframe(1).f_globals["__name__"])

        def add(value: Value) -> Value:
            before = self._entries[name].origin if name in self._entries else self._homes.get(name, origin)
            if before != origin:
                raise UserError(f"{self.kind} {name!r} is registered by {origin}, and by {before}: choose another name")
            self._entries[name] = _Entry(value, origin, version)
            return value

        return add

    def get(self, name: str) -> T:
        """The value of a name. Raises UserError if there is none, with the nearest name and all there are."""
        value: T = self._entry(name).value
        return value

    def version(self, name: str) -> int:
        """Of what a name's value does. Raises as `get`."""
        return 1 if name in self._homes else self._entry(name).version

    def check(self, name: str) -> str:
        """The name itself. Raises UserError as `get`, but imports none of hydra_ray's own modules."""
        if name not in self._homes and name not in self._entries:
            self._entry(name)
        return name

    def __contains__(self, name: str) -> bool:
        """Whether a value is known by this name, in plug-ins that are loaded already."""
        return name in self._homes or name in self._entries

    @property
    def builtin(self) -> tuple[str, ...]:
        """The names that come with hydra_ray, in their order."""
        return tuple(self._homes)

    def names(self) -> tuple[str, ...]:
        """All names: those that come with hydra_ray, then those of plug-ins as they were loaded."""
        plugins.load_installed()
        return self._known()

    def _known(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self._homes, *self._entries]))

    def _entry(self, name: str) -> _Entry:
        if name not in self._entries and name in self._homes:
            import_module(self._homes[name])
        if name not in self._entries:
            failed = plugins.load_installed()
            if name not in self._entries:
                close = nearest(name, self._known())
                hint = f"did you mean {close!r}? " if close else ""
                known = f"there are {', '.join(self._known())}"
                raise UserError("; ".join([f"no {self.kind} {name!r}; {hint}{known}", *failed]))
        return self._entries[name]


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was most likely meant to be, None if none is near."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)), None)
