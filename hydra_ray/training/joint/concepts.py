"""Where the concepts start: k-means centres of the sentences in the training texts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.dataset as pads
from numpy.typing import NDArray
from safetensors.numpy import save_file

from hydra_ray.config import ModelConfig
from hydra_ray.models.sentence_embeddings import sentences_of
from hydra_ray.models.text_embeddings import text_embeddings
from hydra_ray.utils.atomic_io import write_atomically

SAMPLE = 4000
"""Sentences that k-means sees at most."""


def write_centres(config: ModelConfig, examples: Path, embedding_store: Path | None, seed: int, out: Path) -> None:
    """Writes `centres` (float32 [width, D], unit length) as safetensors, from the queries in `examples` (Parquet)."""
    query = pads.dataset(examples, format="parquet").to_table(columns=["query"])["query"].to_pylist()
    sentences = _sample(sorted({s for text in set(query) for s in sentences_of(text, config.sentences)}), seed)
    points = text_embeddings(config, embedding_store)(sentences)
    points = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    with write_atomically(out) as part:
        save_file({"centres": kmeans(points, config.pair_dim, seed)}, part)


def kmeans(points: NDArray[np.float32], count: int, seed: int) -> NDArray[np.float32]:
    """Unit centres, float32 [count, D]; with fewer points than centres, the points and random directions."""
    from sklearn.cluster import KMeans

    found = KMeans(min(count, len(points)), n_init=2, random_state=seed).fit(points).cluster_centers_
    rng = np.random.default_rng(seed)
    centres = np.concatenate([found, rng.normal(size=(count - len(found), points.shape[1]))])
    unit: NDArray[np.float32] = (centres / np.linalg.norm(centres, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _sample(sentences: Sequence[str], seed: int) -> list[str]:
    if len(sentences) <= SAMPLE:
        return list(sentences)
    chosen = np.random.default_rng(seed).choice(len(sentences), SAMPLE, replace=False)
    return [sentences[i] for i in sorted(chosen)]
