"""A head with one number a user for each hidden unit: how much louder or softer than for all others it is."""

from torch import Tensor

from hydra_ray.config.head_kinds import HeadKind
from hydra_ray.models.heads import Deltas, Head
from hydra_ray.registries import HEADS


class GainHead(Head):
    """Shapes: Q queries, R rows of a query, Z numbers of a row. Zeros leave the shared head as it is."""

    def delta_shapes(self) -> dict[str, tuple[int, ...]]:
        """What is one user's own: name -> shape."""
        return {"gain": (self.width,)}

    def hidden(self, z_QRZ: Tensor, deltas: Deltas) -> Tensor:
        """Hidden states [Q, R, Z]. deltas: name -> [Q, ...], the user's of each query; empty: the shared head."""
        h_QRZ = super().hidden(z_QRZ, {})
        return h_QRZ * (1 + deltas["gain"].unsqueeze(1)) if deltas else h_QRZ


HEADS.register("gain")(HeadKind(GainHead))
