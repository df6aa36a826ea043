"""One of several labels without an order."""

import math
import unicodedata
from decimal import Decimal
from typing import Any

from hydra_ray.core.answers.label import as_label
from hydra_ray.core.task_kinds.closed import ClosedKind
from hydra_ray.core.tasks import Speller, Task
from hydra_ray.core.token_estimate import estimate_tokens
from hydra_ray.registries import TASK_KINDS


class Classification(ClosedKind):
    """Labels are found as whole words, ignoring case, punctuation, hyphens and "&" against "and"."""

    metrics = ("accuracy", "macro_f1")

    def answer_tokens(self, task: Task) -> int:
        """What the longest label needs, with room for a word before it."""
        return max(24, 8 + 2 * max(estimate_tokens(label) for label in task.labels))

    def label_in(self, labels: tuple[str, ...], text: str, names: tuple[str, ...]) -> str:
        """ "" for a refusal, a denial ("not billing"), or two labels."""
        return as_label(labels, text, names)

    def speller(self, task: Task) -> Speller:
        """Without regard to case, outer whitespace and Unicode form; truth values are the words true and false."""
        exact = {_composed(label): label for label in task.labels}
        folded: dict[str, list[str]] = {}
        for label in task.labels:
            folded.setdefault(_folded(label), []).append(label)
        alone = {key: labels[0] for key, labels in folded.items() if len(labels) == 1}

        def spell(raw: Any, bare: str) -> str | None:
            if isinstance(raw, bool):
                bare = bare.lower()
            label = exact.get(_composed(bare)) or alone.get(_folded(bare))
            if label is None and isinstance(raw, float | Decimal) and math.isfinite(raw) and raw == int(raw):
                label = exact.get(str(int(raw)))  # whole numbers, which tables with gaps keep as 3.0
            return label

        return spell


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())


def _folded(text: str) -> str:
    """Caseless: folding may decompose letters."""
    return unicodedata.normalize("NFC", _composed(text).casefold())


TASK_KINDS.register("classification")(Classification())
