"""Rating: a review grades four aspects; the user's decisive aspect and private strictness make the score, 1 to 5."""

from hydra_ray.synth.draws import Draws
from hydra_ray.synth.rating_words import ASPECTS, HOUSES, NAMES, OPENINGS, SCALES, TRIPS
from hydra_ray.synth.scene import Scene, Taste, Wording

OWN = 3
_PHRASES = tuple(ASPECTS.values())
_SCALES = tuple(SCALES.values())


class RatingMaker:
    """See the module."""

    aspects = len(_PHRASES)
    values = len(_PHRASES[0])
    phrases = _PHRASES

    def taste(self, draws: Draws) -> Taste:
        aspect = draws.below(self.aspects)
        own = tuple(tuple(draws.sample(pool, OWN)) for pool in (NAMES, HOUSES, TRIPS))
        return Taste(aspect, draws.pick(_SCALES), 0, own)

    def scene(self, draws: Draws, taste: Taste, wording: Wording) -> Scene:
        values = tuple(draws.below(self.values) for _ in range(self.aspects))
        names, houses, trips = taste.own
        opening = draws.pick(OPENINGS).format(name=draws.pick(names), house=draws.pick(houses), trip=draws.pick(trips))
        return Scene(values, " ".join([opening, *wording.sentences(values)]))

    def answer(self, taste: Taste, scene: Scene) -> str:
        return str(taste.mapping[scene.values[taste.aspect]])

    def noisy(self, draws: Draws, taste: Taste, scene: Scene) -> str:
        """A neighbouring score."""
        right = taste.mapping[scene.values[taste.aspect]]
        return str(draws.pick([score for score in (right - 1, right + 1) if 1 <= score <= 5]))
