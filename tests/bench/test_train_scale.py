"""What the bench trains on; the training itself is the product's own, tested in tests/training/joint."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from hydra_ray.bench import train_scale
from hydra_ray.bench.train_scale import ITEMS, QUERIES, draw_embeddings, examples_of, write_examples
from hydra_ray.config import ModelConfig
from hydra_ray.core.hashing import bucket_of
from hydra_ray.core.types import HistoryItem, User
from hydra_ray.models.encoder_source import spec_of
from hydra_ray.store.embeddings.embedding_store import EmbeddingStore
from hydra_ray.training.joint.ranking_examples import examples_from_table


def user(name: str, answers: str) -> User:
    items = tuple(
        HistoryItem(f"{name}{i}", f"Text {i} of {name}.", "", answer, f"2024-01-0{i + 1}")
        for i, answer in enumerate(answers)
    )
    return User(name, "train", items, ())


def test_a_users_items_ask_for_the_others_with_the_same_answer() -> None:
    found = list(examples_of(user("u", "aabab"), 8))
    assert [(e.query_id, e.label) for e in found[:2]] == [("u0", (1.0, 0.0, 1.0, 0.0)), ("u1", (1.0, 0.0, 1.0, 0.0))]
    assert len(found) == QUERIES
    assert found[0].candidates == ("Text 1 of u.", "Text 2 of u.", "Text 3 of u.", "Text 4 of u.")
    assert {e.bucket for e in found} == {bucket_of("u", 8)}


def test_every_text_of_the_examples_has_one_drawn_embedding(tmp_path: Path, monkeypatch) -> None:
    users = [user(name, "ab" * 4 + "a") for name in "uvw"]
    monkeypatch.setattr(train_scale, "read_users", lambda _: iter(users))
    monkeypatch.setattr(train_scale, "CHUNK", 2)
    counts = write_examples(tmp_path, 8, tmp_path / "examples")
    assert counts == {"ranking_examples": 3 * QUERIES, "rows": 3 * QUERIES * (ITEMS - 1)}
    files = sorted((tmp_path / "examples").iterdir())
    assert len(files) == 2
    texts = {t for file in files for e in examples_from_table(pq.read_table(file)) for t in (e.query, *e.candidates)}
    model = ModelConfig()
    store = EmbeddingStore(tmp_path / "store", spec_of(model))
    assert draw_embeddings(tmp_path, model, store) == {"texts": 3 * ITEMS}
    assert draw_embeddings(tmp_path, model, store) == {"texts": 0}
    found = store.lookup(sorted(texts))
    assert found.shape == (3 * ITEMS, train_scale.WIDTH)
    assert np.allclose(np.linalg.norm(found, axis=1), 1.0, atol=0.2)
