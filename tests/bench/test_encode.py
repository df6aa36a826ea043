"""The encoder bench, on rows that are too few to say anything about time."""

from argparse import Namespace

import numpy as np
import pytest

from hydra_ray.bench import encode


def test_figures() -> None:
    result = encode.run(Namespace(rows=8, repeats=1, mixes=("synthetic", "news"), texts=100))
    assert set(result["mixes"]) == {"synthetic", "news"}
    assert result["ratio"] == min(mix["ratio"] for mix in result["mixes"].values())
    for mix in result["mixes"].values():
        assert mix["difference"]["least_cosine"] > encode.COSINE
        assert mix["padding"] >= 1
        assert set(mix["rows_per_s"]) == {"padded_fp32", "sorted_fp32", "ours"}

    reads = result["reads"]
    assert reads["scanned"] == 100
    assert reads["ratio"] > 1
    assert [run["rows"] for run in reads["join"]["runs"]] == [100, 1000]
    assert all(run["peak_mib"] > 0 for run in reads["join"]["runs"])


def test_other_vectors_are_noticed() -> None:
    embeddings = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    assert encode.compare(embeddings, embeddings)["order"] == 1
    with pytest.raises(RuntimeError, match="differ"):
        encode.compare(embeddings, embeddings[::-1])


def test_rows_are_the_same_every_time_and_as_long_as_documented() -> None:
    pairs = encode.make_pairs("reviews", 300)
    assert pairs == encode.make_pairs("reviews", 300)
    words = [len(text.split()) for pair in pairs for text in pair]
    assert min(words) >= 16
    assert max(words) <= 1385
    assert 50 < np.median(words) < 70  # the middle decile is 60
