"""How a query and an item or candidate are read together, as far as it needs no tensors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from hydra_ray.registries import PAIR_ENCODERS
from hydra_ray.utils.registry import resolve


@dataclass(frozen=True, slots=True)
class PairKind:
    """A value of `model.pair`.

    Attributes:
        reads: What the encoder embeds: `pairs` (both texts at once), `texts` (each alone), `sentences` (each sentence
            alone, by a frozen encoder) or `nothing`.
        make: For `texts` and `sentences`: (width D of an embedding, configuration of the model, whether both texts are
            of a kind) -> a module that makes pair embeddings [Q, R, model.pair_dim] of queries and rows: of
            [Q, R, D] and [Q, R, D], or of [Q, S, D] and [Q, R, S, D]. Or "module:name" of such a function.
        centres: Whether its parameter `centres` [model.pair_dim, D] starts at the k-means centres of the training
            texts' sentences.
    """

    reads: Literal["pairs", "texts", "sentences", "nothing"]
    make: str | Callable[[int, Any, bool], Any] | None = None
    centres: bool = False

    def new(self, width: int, model: Any, symmetric: bool) -> Any:
        """A new module; None where there is none."""
        return None if self.make is None else resolve(self.make)(width, model, symmetric)

    def width(self, encoder: int, model: Any) -> int:
        """The numbers of a pair embedding. encoder: the width of the encoder's."""
        return {"pairs": encoder, "nothing": 0}.get(self.reads, int(model.pair_dim))


_HOME = "hydra_ray.models.pair_encoders"
PAIR_ENCODERS.register("cross_encoder")(PairKind("pairs"))
PAIR_ENCODERS.register("bi_encoder")(PairKind("texts", f"{_HOME}:make_interaction"))
PAIR_ENCODERS.register("concepts")(PairKind("sentences", f"{_HOME}:make_concepts", centres=True))
PAIR_ENCODERS.register("none")(PairKind("nothing"))


def pair_kind(name: str) -> PairKind:
    """A registered kind. Raises UserError if there is none of this name."""
    found: PairKind = PAIR_ENCODERS.get(name)
    return found
