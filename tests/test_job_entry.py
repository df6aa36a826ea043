"""A submitted job runs on the cluster that it was submitted to."""

import json

import pytest
import yaml

from hydra_ray import job_entry
from hydra_ray.config import Config


@pytest.mark.parametrize(("address", "joined"), [("local", "auto"), ("head:6379", "head:6379")])
def test_a_job_joins_its_own_cluster_unless_configured_otherwise(
    monkeypatch: pytest.MonkeyPatch, address: str, joined: str
) -> None:
    seen = []

    def main(argv: list[str]) -> int:
        with open(argv[2]) as file:
            seen.append((argv[0], yaml.safe_load(file)["ray"]["address"]))
        return 0

    config = Config.model_validate({"ray": {"address": address}})
    monkeypatch.setenv("HYDRA_RAY_CONFIG", json.dumps(config.model_dump(mode="json")))
    monkeypatch.setattr(job_entry, "main", main)
    monkeypatch.setattr("sys.argv", ["jobs_entry", "label"])
    assert job_entry.run_submitted() == 0
    assert seen == [("label", joined)]
