"""The settings of a sweep: keys that take several values each, and every combination of those. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from hydra_ray.errors import UserError

OPENING, CLOSING, QUOTES = "[{(", "]})", "'\""
FIXED = ("name", "root")
"""Keys that a sweep sets itself, or that all of its runs share."""
_NAME = re.compile(r"[^A-Za-z0-9.]+")


@dataclass(frozen=True, slots=True)
class GridPoint:
    """One combination.

    Attributes:
        values: Key -> value, as it was typed.
        suffix: What the run's name ends with; differs from all other points'.
    """

    values: Mapping[str, str]
    suffix: str

    def __str__(self) -> str:
        return " ".join(self.overrides)

    @property
    def overrides(self) -> list[str]:
        """As `a.b=c`."""
        return [f"{key}={value}" for key, value in self.values.items()]


@dataclass(frozen=True, slots=True)
class Grid:
    """A sweep.

    Attributes:
        axes: Key -> its values, in the order in which they were typed.
        fixed: The other overrides, which all points share.
    """

    axes: Mapping[str, tuple[str, ...]]
    fixed: tuple[str, ...]

    @property
    def points(self) -> tuple[GridPoint, ...]:
        """Every combination; the last key changes fastest."""
        leaves = [key.rsplit(".", 1)[-1] for key in self.axes]
        names = leaves if len(set(leaves)) == len(leaves) else list(self.axes)
        made = [dict(zip(self.axes, values, strict=True)) for values in product(*self.axes.values())]
        suffixes = [
            "-".join(f"{name}-{_plain(value)}" for name, value in zip(names, point.values(), strict=True))
            for point in made
        ]
        doubled = len(set(suffixes)) < len(suffixes)
        return tuple(
            GridPoint(point, f"{suffix}-{number}" if doubled else suffix)
            for number, (point, suffix) in enumerate(zip(made, suffixes, strict=True), 1)
        )


def parse_grid(words: Sequence[str]) -> Grid:
    """The sweep that some words of a command line describe, `key=a,b,c` for a key with several values.

    Commas within brackets or quotes separate nothing: `evaluate.methods=[a,b]` is one value.

    Raises:
        UserError: A word is no `key=value`, no key has several values, a key or one of its values stands twice, a value
            is empty, or a key is the sweep's own.
    """
    axes: dict[str, tuple[str, ...]] = {}
    fixed: list[str] = []
    for word in words:
        key, sign, text = word.partition("=")
        if not sign or not key:
            raise UserError(f"{word!r}: write it as section.key=value, or section.key=a,b,c for several values")
        values = split_values(text)
        if len(values) == 1:
            fixed.append(word)
            continue
        if key in FIXED:
            raise UserError(
                f"{key}: a sweep cannot vary it; the runs share one root, and their names are made for them"
            )
        if key in axes:
            raise UserError(f"{key}: stands twice; give all its values at once, {key}=a,b,c")
        if "" in values:
            raise UserError(f"{word!r}: has an empty value; write null for none")
        if len(set(values)) < len(values):
            raise UserError(f"{word!r}: names a value twice; name each once")
        axes[key] = values
    if not axes:
        raise UserError("there is nothing to sweep: give a key several values, such as protocol.train_users=25,50,100")
    if double := [word for word in fixed if word.partition("=")[0] in axes]:
        raise UserError(f"{double[0]!r}: the key has several values as well; give it once")
    return Grid(axes, tuple(fixed))


def split_values(text: str) -> tuple[str, ...]:
    """A text cut at the commas that stand outside of brackets and quotes, without blanks around the parts."""
    parts, start, depth, quote = [], 0, 0, ""
    for i, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in QUOTES and not text[start:i].strip(" [{,"):
            quote = letter
        elif letter in OPENING:
            depth += 1
        elif letter in CLOSING:
            depth -= 1
        elif letter == "," and depth <= 0:
            parts.append(text[start:i].strip())
            start = i + 1
    return (*parts, text[start:].strip())


def _plain(value: str) -> str:
    """A value as a part of a run's name."""
    return _NAME.sub("_", value).strip("_") or "none"
