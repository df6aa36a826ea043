"""What the keys of the main job's steps are made of, without doing any."""

from pathlib import Path
from typing import Any

import pytest

from hydra_ray.core.sampling import Trial
from hydra_ray.errors import UserError
from hydra_ray.pipeline.job import Pipeline
from tests.pipeline.step_keys import make_job


@pytest.mark.parametrize("features", ["none", "score"])
def test_labels_serve_whatever_the_reranker_reads_of_them(tmp_path: Path, features: str) -> None:
    asked = []
    for name in (features, "score_and_recency"):
        job, configs = make_job(tmp_path, reranker={"features": name})
        job.train("reranker", Trial(0))
        asked.append(configs["label"])
        assert configs["train-reranker"]["features"] == name
    assert asked[0] == asked[1]


def folded_job(folder: Path, ids: dict[str, list[str]], **changes: Any) -> tuple[Pipeline, dict[str, Any]]:
    job, asked = make_job(folder, protocol={"train_users": None, "folds": 3}, **changes)
    job._users = ids  # type: ignore[assignment]
    return job, asked


IDS = {"train": [f"a{i}" for i in range(5)], "test": [f"b{i}" for i in range(4)]}


def test_folds_share_labels_and_summaries_and_train_on_other_users_each(tmp_path: Path) -> None:
    job, asked = folded_job(tmp_path, IDS)
    for trial in job.config.protocol.trials:
        job.evaluate(trial)
    labels = list(job.results)
    assert labels[0] == "label seed 0"
    assert [label for label in labels if label.startswith("train-")] == [
        f"train-reranker seed 0 fold {n}" for n in range(3)
    ]
    assert [label for label in labels if label.startswith("summ")] == ["summarise seed 0"]
    assert [label for label in labels if label.startswith("encode-")] == ["encode-reranker seed 0"]
    assert len({result.key for result in job.results.values()}) == len(labels) == 3 + 3 * 4
    whole = {inputs["users"] for name, inputs in asked["inputs"] if name in ("label", "summarise")}
    assert len(whole) == 2  # the same users: once to learn from, once to be tested


def test_too_few_users_for_the_folds(tmp_path: Path) -> None:
    job, _ = folded_job(tmp_path, {"train": ["a"], "test": ["b"]})
    with pytest.raises(
        UserError, match="2 users with a question and its gold answer in the data cannot be cut into 3 folds"
    ):
        job.chosen(Trial(0, 2))


def test_methods_with_weights_of_their_own_come_last(tmp_path: Path) -> None:
    named = ["finetuned_k0", "dense_k1", "bm25_k1", "finetuned_k4", "ropg_kd_k4"]
    job, _ = make_job(tmp_path, evaluate={"methods": named})
    assert job.further_methods == ("dense_k1", "ropg_kd_k4", "finetuned_k0", "finetuned_k4")  # bm25_k1 is always shown
