"""A whole run with the retriever, the head and the method of `examples/extending`, on Ray's workers."""

import json
import subprocess
from pathlib import Path

import pytest

import hydra_ray
from tests.docs.pages import ROOT
from tests.llm.fake_server import FakeServer, in_thread
from tests.pipeline.test_job_cluster import NAME, command, hostile_data, odd_answers, without_key

FILES = ",".join(str(file) for file in sorted((ROOT / "examples" / "extending").glob("*.py")))


@pytest.mark.cluster
@pytest.mark.timeout(1800)
def test_a_run_with_a_retriever_a_head_and_a_method_of_ones_own(cluster: str, tmp_path: Path) -> None:
    hostile_data(tmp_path / "data")

    def run(url: str, *more: str) -> str:
        words = command(cluster, "run", tmp_path, url, f"plugins=[{FILES}]", "retrieval.method=fading_bm25",
                        "model.head=gain", *more)  # fmt: skip
        done = subprocess.run(words, env=without_key(), capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with in_thread(FakeServer(odd_answers)) as server:
        assert "newest_and_habit" not in run(server.url, "resources.few_in_driver=false")  # workers load them, too
        plain = json.loads((tmp_path / "runs" / NAME / "report.json").read_text())
        assert "newest_and_habit" in run(server.url, "evaluate.methods=[newest_and_habit,smoothed_habit]")
    report = json.loads((tmp_path / "runs" / NAME / "report.json").read_text())
    # The other methods' steps stand as they were; the new one has a step of its own.
    assert report["methods"].pop("newest_and_habit")
    assert report["methods"].pop("smoothed_habit")
    assert report["methods"] == plain["methods"]
    further = {"method-newest_and_habit seed 0", "method-smoothed_habit seed 0", "train-method-smoothed_habit seed 0"}
    assert {name: key for name, key in report["steps"].items() if name not in further} == plain["steps"]
    assert further <= report["steps"].keys()
    assert report["this_invocation"]["llm_calls"] == report["llm_by_stage"]["method-newest_and_habit"]["calls"] > 0
    assert report["heads"]["adapter"]["users"] == 7
    found = hydra_ray.load_run(tmp_path / "runs" / NAME).predictions("newest_and_habit")
    assert len(found) == 7
    steps = json.loads((tmp_path / "runs" / NAME / "steps.json").read_text())
    manifest = json.loads((tmp_path / "runs" / "steps" / steps["train-adapter seed 0"] / "manifest.json").read_text())
    assert manifest["config"]["model"]["head"] == "gain"
