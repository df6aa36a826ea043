"""How far the training of a retriever is, and the best retriever so far. In a checkpoint, next to the engine's state:

at.json                the progress
best.safetensors       weights of the best epoch; no file while the untrained retriever is the best
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from hydra_ray.errors import UserError

AT, BEST = "at.json", "best.safetensors"


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        trial: Place of the teacher's temperature that is being tried.
        epoch: Its epochs that are done.
        start: Held-out NDCG of the untrained retriever.
        best: The best held-out NDCG so far, the untrained retriever's included.
        best_trial: Whose it is; None: nothing is better than the untrained retriever.
        best_epoch: After how many epochs.
        epochs: Held-out NDCG and training loss of every epoch, by trial.
    """

    trial: int
    epoch: int
    start: float
    best: float
    best_trial: int | None
    best_epoch: int
    epochs: list[dict[str, float]]

    @classmethod
    def begin(cls, ndcg: float) -> "Progress":
        """Nothing trained yet. ndcg: held-out, of the untrained retriever."""
        return cls(0, 0, ndcg, ndcg, None, 0, [])


def save_progress(folder: Path, at: Progress, best: Mapping[str, Tensor]) -> None:
    """best: float32 weights by name; empty while the untrained retriever is the best."""
    (folder / AT).write_text(json.dumps(asdict(at)))
    if best:
        save_file(dict(best), folder / BEST)


def load_progress(folder: Path) -> tuple[Progress, dict[str, Tensor]]:
    """What `save_progress` wrote. Raises UserError if a file is missing or broken."""
    try:
        at = Progress(**json.loads((folder / AT).read_text()))
        return at, {} if at.best_trial is None else load_file(folder / BEST)
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise UserError(f"{folder}: the checkpoint cannot be read ({error}); remove it to start over") from None
