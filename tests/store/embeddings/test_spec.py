"""What makes embeddings others."""

from pathlib import Path

from hydra_ray.store.embeddings.embedding_store import EmbeddingStore
from hydra_ray.store.embeddings.spec import EmbeddingSpec
from tests.store.embeddings.some_embeddings import keep

SPEC = EmbeddingSpec("minilm", "mean", 128, "fp32")


def test_another_encoder_pooling_length_or_precision_has_a_folder_of_its_own(tmp_path: Path) -> None:
    specs = [
        SPEC,
        EmbeddingSpec("other", "mean", 128, "fp32"),
        EmbeddingSpec("minilm", "cls", 128, "fp32"),
        EmbeddingSpec("minilm", "mean", 64, "fp32"),
        EmbeddingSpec("minilm", "mean", 128, "bf16"),
    ]
    keep(EmbeddingStore(tmp_path, SPEC), ["a"])
    assert [EmbeddingStore(tmp_path, spec).missing(["a"]) for spec in specs] == [[], *[["a"]] * 4]
