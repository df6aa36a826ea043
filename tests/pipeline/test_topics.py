from pathlib import Path
from typing import Any

import numpy as np

from hydra_ray.core.topic_classifier import TopicModels, part_of
from hydra_ray.pipeline.topics import train_topics
from tests.data.files import NOTES, write
from tests.data.own_rows import ingest, lines, row


def encode(texts: Any) -> Any:
    """Warm texts point one way, cold ones another."""
    return np.array([[1.0, 0.0] if text.startswith("warm") else [0.0, 1.0] for text in texts], dtype=np.float32)


def test_only_items_that_every_question_may_see_are_learned_from(tmp_path: Path) -> None:
    tags = {0: ("warm", "red"), 1: ("cold", "BLUE sky")}
    rows = [row("u", day, text=f"{tags[day % 2][0]} {day}", tag=tags[day % 2][1]) for day in range(1, 9)]
    rows += [row("other", day, text=f"warm {day}", tag="BLUE sky") for day in range(1, 9)]
    write(tmp_path / "a.jsonl", lines(rows))
    ingest(tmp_path)
    folder = tmp_path / "topics"
    folder.mkdir()
    # Two of eight items are questions; users who are not asked for teach nothing.
    assert train_topics(NOTES, tmp_path / "out", ["u"], encode, folder, 0) == {"items": 6, "labels": 2}
    models = TopicModels.load(folder)
    warm = models.whole.log_ratios(np.array([1.0, 0.0], np.float32))
    assert warm["red"] > 0 > warm["BLUE sky"]
    own = models.without[part_of("u")].log_ratios(np.array([1.0, 0.0], np.float32))
    assert abs(own["red"]) < 0.01  # the model for a training user's rows has not seen that user
