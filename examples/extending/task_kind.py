"""A kind of task whose answers may be letters: "b" or "(B)" is the second label, as in multiple-choice questions."""

import re

from hydra_ray.core.task_kinds.classification import Classification
from hydra_ray.registries import TASK_KINDS

LETTER = re.compile(r"(?:.*(?::|\bis\b))?\W*([a-z])\W*", re.IGNORECASE | re.DOTALL)


class MultipleChoice(Classification):
    """A classification in all else: prompts, metrics, candidates, features."""

    def label_in(self, labels: tuple[str, ...], text: str, names: tuple[str, ...]) -> str:
        """The label that an answer without markup comes to, "" for none. names: what it may be announced as."""
        letter = LETTER.fullmatch(text)
        place = ord(letter[1].lower()) - ord("a") if letter else len(labels)
        return labels[place] if place < len(labels) else super().label_in(labels, text, names)


TASK_KINDS.register("multiple_choice")(MultipleChoice())
