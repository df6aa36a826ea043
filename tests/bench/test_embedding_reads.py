"""Lookups are checked."""

from pathlib import Path

import numpy as np
import pytest

from hydra_ray.bench import embedding_reads


def test_a_lookup_of_another_text_is_noticed(tmp_path: Path) -> None:
    store = embedding_reads.write_store(tmp_path, 10)
    numbers = np.array([7, 3])
    found = store.lookup([embedding_reads.text(i) for i in numbers.tolist()])
    embedding_reads.check(found, numbers)
    with pytest.raises(RuntimeError, match="another text's embedding"):
        embedding_reads.check(found, numbers[::-1])
