"""What the three synthetic tasks have in common: a taste, a scene, and a maker that turns them into text and answer."""

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


class Maker(Protocol):
    """One synthetic task."""

    aspects: int
    values: int

    def taste(self, draws: Draws) -> Taste:
        """Draw a user's taste."""

    def scene(self, draws: Draws, taste: Taste) -> Scene:
        """Draw a text of this user's."""

    def answer(self, taste: Taste, scene: Scene) -> str:
        """What the user answers, without noise."""

    def noisy(self, draws: Draws, taste: Taste, scene: Scene) -> str:
        """What the user answers by mistake: never `answer(taste, scene)`."""
