import re
from itertools import combinations

from hydra_ray.synth.scene import words
from hydra_ray.synth.tagging_words import ASPECTS


def test_phrasings_share_few_content_words() -> None:
    """A value's phrasings have almost no content word in common, so that the same value rarely shares words."""
    common = set(words("we i a an the was were it us our my me to of in for and on at with there by from all"))
    for values in ASPECTS.values():
        for phrasings in values.values():
            assert len(phrasings) == 6
            bags = [set(re.findall(r"[a-z]+", p.lower())) - common for p in phrasings]
            assert sum(bool(a & b) for a, b in combinations(bags, 2)) <= 1
