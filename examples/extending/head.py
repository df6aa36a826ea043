"""A head with one number a user for each hidden unit: how much louder or softer than for all others it is."""

from torch import Tensor

from hydra_ray.config.head_kinds import HeadKind
from hydra_ray.models.heads import Deltas, Head
from hydra_ray.registries import HEADS


class GainHead(Head):
    """Shapes: G queries, R rows of a query, Z numbers of a row. Zeros leave the shared head as it is."""

    def delta_shapes(self) -> dict[str, tuple[int, ...]]:
        """What is one user's own: name -> shape."""
        return {"gain": (self.width,)}

    def hidden(self, z_GRZ: Tensor, deltas: Deltas) -> Tensor:
        """Hidden states [G, R, Z]. deltas: name -> [G, ...], the user's of each query; empty: the shared head."""
        h_GRZ = super().hidden(z_GRZ, {})
        return h_GRZ * (1 + deltas["gain"].unsqueeze(1)) if deltas else h_GRZ


HEADS.register("gain")(HeadKind(GainHead))
