from pathlib import Path

import pytest

from hydra_ray.models.lora.decoder import Decoder
from tests.models.lora.small_llama import small_decoder


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    """A random Llama of two layers, whose embeddings are tied; nothing changes it."""
    folder: Path = tmp_path_factory.mktemp("base")
    return small_decoder(folder)
