"""Tagging: a note of a day trip is filed under one of fifteen tags.

Every aspect partitions the same fifteen tags into five clusters of three, one cluster per value; two tags that share a
cluster under one aspect share none under any other (a transversal design: tag (i, j) with i in Z5, j in Z3 lies in
cluster i + a j mod 5 of aspect a). A user has a decisive aspect and one own tag out of every cluster of it. So a tag
alone says nothing about the aspect, the text alone says nothing about the tag, and one example of a user (text and tag)
says much about both.
"""

from hydra_ray.synth.draws import Draws
from hydra_ray.synth.scene import Scene, Taste, Wording
from hydra_ray.synth.tagging_words import ASPECTS, NAMES, OPENINGS, PLACES, TAGS, THINGS

OWN = 3
_PHRASES = tuple(tuple(values.values()) for values in ASPECTS.values())
_CHOICES = 3


def cluster(aspect: int, value: int) -> tuple[int, ...]:
    """The three tags (indices into TAGS) that a user of `aspect` may use for `value`."""
    return tuple(((value - aspect * j) % 5) * _CHOICES + j for j in range(_CHOICES))


class TaggingMaker:
    """See the module."""

    aspects = len(_PHRASES)
    values = len(_PHRASES[0])
    phrases = _PHRASES

    def taste(self, draws: Draws) -> Taste:
        aspect = draws.below(self.aspects)
        mapping = tuple(draws.pick(cluster(aspect, value)) for value in range(self.values))
        own = tuple(tuple(draws.sample(pool, OWN)) for pool in (NAMES, PLACES, THINGS))
        return Taste(aspect, mapping, 0, own)

    def scene(self, draws: Draws, taste: Taste, wording: Wording) -> Scene:
        values = tuple(draws.below(self.values) for _ in range(self.aspects))
        names, places, things = taste.own
        opening = draws.pick(OPENINGS).format(
            name=draws.pick(names), place=draws.pick(places), thing=draws.pick(things)
        )
        return Scene(values, " ".join([opening, *wording.sentences(values)]))

    def answer(self, taste: Taste, scene: Scene) -> str:
        return TAGS[taste.mapping[scene.values[taste.aspect]]]

    def noisy(self, draws: Draws, taste: Taste, scene: Scene) -> str:
        """Another of the user's own tags."""
        right = taste.mapping[scene.values[taste.aspect]]
        return TAGS[draws.pick([tag for tag in taste.mapping if tag != right])]
