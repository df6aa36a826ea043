"""What the three synthetic tasks have in common: a taste, a wording, a scene, and the maker of text and answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hydra_ray.synth.draws import Draws

NOISE = 0.05
"""Share of answers that are not what the user's taste says."""


@dataclass(frozen=True, slots=True)
class Taste:
    """What is private to a user.

    aspect: which aspect of a text decides. mapping: the user's answer for each of that aspect's values (an index into
    the task's answers; for headlines the template). slot: headlines only, which phrase the user builds a headline on.
    own: the user's recurring names, places and things, one tuple per kind of filler.
    """

    aspect: int
    mapping: tuple[int, ...]
    slot: int
    own: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """One text, before and after it is written out.

    values: the value of each aspect. text: the English. phrases: headlines only, the phrases a headline can use.
    """

    values: tuple[int, ...]
    text: str
    phrases: tuple[str, ...] = ()


class Wording:
    """How a user puts things: fresh words for what matters to the user, stock phrases for the rest.

    No phrasing of the decisive aspect's value comes back before all others of that value were used; any other value is
    always expressed in the same words. So texts that share many words agree in what does not matter: lexical overlap
    misleads.
    """

    def __init__(self, draws: Draws, phrases: Sequence[Sequence[Sequence[str]]], decisive: int) -> None:
        """phrases: aspect -> value -> phrasings. decisive: the aspect that matters."""
        self._draws = draws
        self._phrases = phrases
        self._decisive = decisive
        self._stock = [[draws.pick(phrasings) for phrasings in values] for values in phrases]
        self._fresh: dict[int, list[str]] = {}

    def sentences(self, values: Sequence[int]) -> list[str]:
        """One sentence per aspect, in random order."""
        phrases = [self._decisively(v) if a == self._decisive else self._stock[a][v] for a, v in enumerate(values)]
        return self._draws.sample(phrases, len(phrases))

    def _decisively(self, value: int) -> str:
        phrasings = self._phrases[self._decisive][value]
        if not self._fresh.get(value):
            self._fresh[value] = self._draws.sample(phrasings, len(phrasings))
        return self._fresh[value].pop()


class SceneMaker(Protocol):
    """One synthetic task."""

    aspects: int
    values: int

    @property
    def phrases(self) -> Sequence[Sequence[Sequence[str]]]:
        """aspect -> value -> phrasings."""

    def taste(self, draws: Draws) -> Taste:
        """Draw a user's taste."""

    def scene(self, draws: Draws, taste: Taste, wording: Wording) -> Scene:
        """Draw a text of this user's."""

    def answer(self, taste: Taste, scene: Scene) -> str:
        """What the user answers, without noise."""

    def noisy(self, draws: Draws, taste: Taste, scene: Scene) -> str:
        """What the user answers by mistake: never `answer(taste, scene)`."""


def words(*lines: str) -> tuple[str, ...]:
    """A word list written as readable lines: the whitespace-separated words of the lines, in order."""
    return tuple(word for line in lines for word in line.split())
