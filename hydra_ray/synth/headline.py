"""Headline: a news item has four phrases, an event and a season; a headline is a template around one phrase.

Private to a user: which phrase the headline is built on (slot), whether the event or the season picks the template
(aspect), and the four templates (mapping). Any example reveals the slot; one of the same event or season as well
reveals the whole headline.
"""

from hydra_ray.synth.draws import Draws
from hydra_ray.synth.headline_words import ASPECTS, DAYS, NAMES, OPENINGS, SLOTS, TEMPLATES
from hydra_ray.synth.scene import Scene, Taste, Wording

OWN = 3
_PHRASES = tuple(tuple(values.values()) for values in ASPECTS.values())


class HeadlineMaker:
    """See the module."""

    aspects = len(_PHRASES)
    values = len(_PHRASES[0])
    phrases = _PHRASES

    def taste(self, draws: Draws) -> Taste:
        aspect = draws.below(self.aspects)
        mapping = tuple(draws.sample(range(len(TEMPLATES)), self.values))
        own = tuple(tuple(draws.sample(pool, OWN)) for pool in (NAMES, DAYS))
        return Taste(aspect, mapping, draws.below(len(SLOTS)), own)

    def scene(self, draws: Draws, taste: Taste, wording: Wording) -> Scene:
        values = tuple(draws.below(self.values) for _ in range(self.aspects))
        phrases = tuple(draws.pick(slot) for slot in SLOTS)
        names, days = taste.own
        who, where, what, count = phrases
        opening = draws.pick(OPENINGS).format(
            name=draws.pick(names), day=draws.pick(days), who=who, where=where, what=what, count=count
        )
        return Scene(values, " ".join([opening, *wording.sentences(values)]), phrases)

    def answer(self, taste: Taste, scene: Scene) -> str:
        return TEMPLATES[taste.mapping[scene.values[taste.aspect]]].format(scene.phrases[taste.slot])

    def noisy(self, draws: Draws, taste: Taste, scene: Scene) -> str:
        """Another of the user's own templates."""
        right = taste.mapping[scene.values[taste.aspect]]
        template = draws.pick([template for template in taste.mapping if template != right])
        return TEMPLATES[template].format(scene.phrases[taste.slot])
