"""The texts of the serving bench: its users' ids, items and queries, and the answers there are. Quick to import.

Each sentence is drawn word by word, so hardly any comes twice: whatever is new has to be encoded.
"""

import random

from hydra_ray.core.tasks import load_task
from hydra_ray.synth.world import MAKERS, make_user

TASK = "synthetic_tagging"
CANDIDATES = 8
"""Distinct answers that the LLM gives, and the only ones in the histories: no further candidates come from these."""
SENTENCES, WORDS = 5, 6
"""Of a text, as in the synthetic world."""


def labels() -> list[str]:
    """The answers there are."""
    return list(load_task(TASK).labels)[:CANDIDATES]


def vocabulary() -> list[str]:
    """Words of the synthetic worlds, sorted."""
    texts = [item.text for task in MAKERS for i in range(40) for item in make_user(task, 0, i, (10, 10), 0).items]
    return sorted({word.strip(".,!?").lower() for text in texts for word in text.split() if word.strip(".,!?")})


def make_text(rng: random.Random, words: list[str]) -> str:
    """Sentences of random words."""
    return " ".join(f"{' '.join(rng.choices(words, k=WORDS)).capitalize()}." for _ in range(SENTENCES))


def user_id(index: int) -> str:
    """The id of user `index`."""
    return f"user{index:07d}"
