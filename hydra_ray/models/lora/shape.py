"""Which layers of a base LoRA is on, and the arrays of one user's weights.

LoRA (Hu et al. 2021, arXiv 2106.09685): a layer y = W x becomes y = W x + (alpha / r) B A x, where A is [r, d_in] and
B is [d_out, r].
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hydra_ray.core.hashing import stable_seed
from hydra_ray.errors import UserError

LoraWeights = dict[str, Tensor]
"""`LAYER.lora_A` [r, d_in] and `LAYER.lora_B` [d_out, r] for every layer; of many users stacked, [U, ...]. fp32."""
A, B = "lora_A", "lora_B"


@dataclass(frozen=True, slots=True)
class LoraShape:
    """What the LoRA weights of a base look like.

    Attributes:
        rank: r.
        alpha: The product B A is multiplied by alpha / r.
        layers: Name of the layer in the model -> (d_out, d_in), in the model's order.
    """

    rank: int
    alpha: float
    layers: Mapping[str, tuple[int, int]]

    @property
    def scaling(self) -> float:
        """alpha / r."""
        return self.alpha / self.rank

    @property
    def targets(self) -> tuple[str, ...]:
        """The layers' last names, sorted, such as `q_proj`."""
        return tuple(sorted({name.rpartition(".")[2] for name in self.layers}))

    @property
    def arrays(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of each array of one user's weights."""
        found: dict[str, tuple[int, ...]] = {}
        for name, (d_out, d_in) in self.layers.items():
            found |= {f"{name}.{A}": (self.rank, d_in), f"{name}.{B}": (d_out, self.rank)}
        return found

    @property
    def numbers(self) -> int:
        """Of one user."""
        return sum(math.prod(shape) for shape in self.arrays.values())

    def initial(self, seed: int, user_id: str) -> LoraWeights:
        """A user's weights before training, as PEFT makes them: A Kaiming-uniform with a = sqrt(5), B zero.

        Drawn from a generator of the user's own: the same, whichever other users are trained.
        """
        generator = torch.Generator().manual_seed(stable_seed("lora", seed, user_id))
        weights: LoraWeights = {}
        for name, shape in self.arrays.items():
            weights[name] = torch.zeros(shape)
            if name.endswith(A):
                nn.init.kaiming_uniform_(weights[name], a=math.sqrt(5), generator=generator)
        return weights


def shape_of(model: Any, rank: int, alpha: float, targets: Sequence[str]) -> LoraShape:
    """The shape of LoRA on a model's linear layers.

    Args:
        model: A decoder LM (`torch.nn.Module`).
        rank: r.
        alpha: See `LoraShape`.
        targets: Last names of layers, such as `q_proj`; every layer of that name is one.

    Raises:
        UserError: The model has no linear layer of a name; those that it has are named.
    """
    linear = linear_layers(model)
    names = {name.rpartition(".")[2] for name in linear}
    missing = [target for target in targets if target not in names]
    if missing:
        raise UserError(
            f"lora.targets: the base has no linear layer {missing[0]!r}; it has {', '.join(sorted(names)) or 'none'}"
        )
    layers = {name: (layer.out_features, layer.in_features) for name, layer in linear.items()
              if name.rpartition(".")[2] in targets}  # fmt: skip
    return LoraShape(rank, alpha, layers)


def linear_layers(model: Any) -> dict[str, nn.Linear]:
    """A model's linear layers by name, but for the one that makes the logits."""
    output = model.get_output_embeddings()
    return {
        name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear) and layer is not output
    }


def stack(weights: Sequence[LoraWeights]) -> LoraWeights:
    """Several users' weights as one, [U, ...]; at least one user."""
    return {name: torch.stack([user[name] for user in weights]) for name in weights[0]}


def unstack(weights: LoraWeights, user: int) -> LoraWeights:
    """A copy of one user's weights out of stacked ones."""
    return {name: value[user].detach().clone() for name, value in weights.items()}
