"""What a look at rows tells about each of their columns. Pure."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hydra_ray.data.answers import is_missing

MOST_VALUES = 2000
"""Distinct values of a column that are counted one by one."""
SAMPLE = 2000
"""Values of a column that are kept as they are."""
DEPTH = 3


@dataclass(slots=True)
class Column:
    """One column's values. given: those that are there. unusable: lists and booleans among them, which are no text; a
    named column may hold booleans, which are labels then.

    counts: value as text -> how often; None once there are more than MOST_VALUES. distinct: hash of a value -> how
    often. sample: the first values. chars: of all values together. numbers: values that are a number.
    """

    name: str
    given: int = 0
    unusable: int = 0
    chars: int = 0
    numbers: int = 0
    counts: Counter[str] | None = field(default_factory=Counter)
    distinct: Counter[int] = field(default_factory=Counter)
    sample: list[Any] = field(default_factory=list)

    def add(self, value: Any) -> None:
        """Take another row's value into account."""
        if is_missing(value) or (isinstance(value, str) and not value.strip()):
            return
        self.given += 1
        if isinstance(value, bool | list):
            self.unusable += 1
        if isinstance(value, list):
            return
        text = str(value).lower() if isinstance(value, bool) else unicodedata.normalize("NFC", str(value).strip())
        self.chars += len(text)
        self.numbers += number_of(text) is not None
        self.distinct[hash(text)] += 1
        if len(self.sample) < SAMPLE:
            self.sample.append(value)
        if self.counts is not None:
            self.counts[text] += 1
            if len(self.counts) > MOST_VALUES:
                self.counts = None

    @property
    def usable(self) -> bool:
        return self.given > 0 and not self.unusable

    @property
    def mean_chars(self) -> float:
        return self.chars / self.given if self.given else 0.0

    @property
    def repeats(self) -> float:
        """How often a value occurs, on average."""
        return self.given / len(self.distinct) if self.distinct else 0.0

    @property
    def last_name(self) -> str:
        """The name as hints are spelled: without what it is nested in, lower-case letters and digits only."""
        return "".join(c for c in self.name.rsplit(".", 1)[-1].lower() if c.isalnum())


def number_of(text: str) -> float | None:
    """The finite number that a text is, None if it is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def look(rows: Iterable[Mapping[str, Any]]) -> tuple[int, dict[str, Column]]:
    """How many rows there are, and their columns in the order of their first appearance; `a.b` is b within a."""
    columns: dict[str, Column] = {}
    count = 0
    for row in rows:
        count += 1
        for name, value in _flat(row, "", DEPTH):
            if name not in columns:
                columns[name] = Column(name)
            columns[name].add(value)
    return count, columns


def _flat(row: Mapping[str, Any], prefix: str, depth: int) -> Iterable[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, Mapping):
            if depth > 1:
                yield from _flat(value, f"{prefix}{name}.", depth - 1)
        else:
            yield f"{prefix}{name}", value
