"""What a text alone says of its answer: fitted on some users, read for others."""

from pathlib import Path

import numpy as np
import pytest

from hydra_ray.core.topic_classifier import PARTS, TopicModels, fit_topics, part_of

LABELS = ("red", "blue", "green")
SEA, FIRE = np.array([1.0, 0.0], np.float32), np.array([0.0, 1.0], np.float32)


def test_a_text_speaks_for_the_answer_that_texts_like_it_had() -> None:
    model = fit_topics(np.stack([SEA] * 20 + [FIRE] * 20), ["blue"] * 20 + ["red"] * 20, LABELS)
    sea = model.log_ratios(3 * SEA)  # the length of a vector says nothing
    assert sea["blue"] > 0.5 > 0 > sea["red"]
    assert model.log_ratios(FIRE)["red"] == pytest.approx(sea["blue"], abs=0.01)
    # Never seen: as unlikely as anything may be, less what little is expected of it.
    assert sea["green"] == pytest.approx(np.log(1e-4) - np.log(0.5 / 41.5), abs=1e-3)


def test_with_one_answer_texts_say_nothing() -> None:
    model = fit_topics(np.stack([SEA, FIRE]), ["red", "red"], LABELS)
    assert all(abs(ratio) < 1e-3 for ratio in model.log_ratios(SEA).values())


def test_a_training_user_is_read_by_a_model_of_the_other_parts(tmp_path: Path) -> None:
    rows = np.stack([SEA] * 4 + [FIRE] * 4)
    whole = fit_topics(rows, ["blue"] * 4 + ["red"] * 4, LABELS)
    without = {part: fit_topics(rows, ["red"] * 4 + ["blue"] * 4, LABELS) for part in range(PARTS)}
    TopicModels(whole, without).save(tmp_path)
    found = TopicModels.load(tmp_path)
    assert found.of("u1", trained_on=False).log_ratios(SEA) == whole.log_ratios(SEA)
    assert found.of("u1", trained_on=True).log_ratios(SEA)["red"] > 0
    assert {part_of(f"u{i}") for i in range(100)} == set(range(PARTS))
