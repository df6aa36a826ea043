import pytest
import torch

from hydra_ray.core.hashing import stable_seed
from hydra_ray.models.lora.decoder import Decoder
from hydra_ray.models.lora.shape import LoraShape, LoraWeights, shape_of
from tests.models.lora.small_llama import small_decoder


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    """A random Llama of two layers; nothing changes it."""
    return small_decoder(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def shape(base: Decoder) -> LoraShape:
    """Rank 8 on q and v, scaled by two."""
    return shape_of(base.model, 8, 16.0, ("q_proj", "v_proj"))


@pytest.fixture(scope="session")
def trained(shape: LoraShape) -> LoraWeights:
    """Weights of which no matrix is zero."""
    weights = shape.initial(0, "u")
    for name, value in weights.items():
        value += torch.randn(value.shape, generator=torch.Generator().manual_seed(stable_seed(name))) * 0.1
    return weights
