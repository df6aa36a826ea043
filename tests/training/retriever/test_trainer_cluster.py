"""A retriever's training on Ray Train's workers."""

from dataclasses import replace
from pathlib import Path

import pytest

from hydra_ray.config.resources import TrainResources
from hydra_ray.training.artifacts.trained_retriever import TrainedRetriever
from hydra_ray.training.retriever.trainer import train_retriever
from tests.training.retriever.trained import lists, make_job
from tests.training.tiny import make_encoder


@pytest.mark.cluster
def test_two_workers_train_a_retriever(cluster: str, tmp_path: Path) -> None:
    encoder, lines = make_encoder(tmp_path / "encoder", spread=0.5), list[str]()
    job = replace(make_job(tmp_path / "job", encoder, lr=0.02), resources=TrainResources(num_workers=2))
    (tmp_path / "out").mkdir()
    about = train_retriever(job, lists(), tmp_path / "out", lines.append)
    assert about["ndcg"] > about["ndcg_untrained"]
    assert (about["queries"], about["equal_queries"], len(about["epochs"])) == (32, 0, 20)
    assert TrainedRetriever.load("ropg", tmp_path / "out").width == 32
    assert any("24 queries, workers 2" in line for line in lines)
