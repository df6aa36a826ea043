"""The rows that learn from the LLM's answers alone, in a run on a synthetic world behind the packaged LLM."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

ROWS = ("ropg_kd_k1", "ropg_kd_user_k1", "rspg_pre", "rspg_post", "mof_k1")
COMMON = ("protocol.train_users=10", "protocol.test_users=6", "data.synth.users=24", "llm.max_calls=3000",
          f"evaluate.methods=[{','.join(ROWS)}]", "retrieval.similarity=dot", "retrieval.top_n=6",
          "reranker.num_history_queries=2", "protocol.pseudo_queries=2", "resources.train.num_workers=1")  # fmt: skip
SCRIPT = """
import json, sys
from pathlib import Path
from hydra_ray.config import load_config
from hydra_ray.core.sampling import Trial
from hydra_ray.pipeline.job import Pipeline
from hydra_ray.pipeline.run_context import RunContext

if __name__ == "__main__":
    with RunContext(load_config(Path(sys.argv[1]), sys.argv[3:])) as run:
        job = Pipeline(run)
        print(json.dumps({row: str(job.method(Trial(0), row).path) for row in sys.argv[2].split(",")}), flush=True)
"""


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_each_row_learns_and_answers(tmp_path: Path) -> None:
    import pyarrow.dataset as pads

    (tmp_path / "script.py").write_text(SCRIPT)
    config, root = str(ROOT / "configs" / "quickstart.yaml"), tmp_path / "runs"
    words = [sys.executable, str(tmp_path / "script.py"), config, ",".join(ROWS), f"root={root}", *COMMON]
    done = subprocess.run(words, capture_output=True, text=True, timeout=800, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    steps: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    for row, folder in steps.items():
        table = pads.dataset(Path(folder) / "answers", format="parquet").to_table()
        assert len(table) == 6, row
        assert not any(error for errors in table["errors"].to_pylist() for error in errors), row
    learned = {file.name for file in (root / "steps").glob("train-method-*/*.json")}
    assert {"retriever.json", "heads.json", "selector.json", "facets.json"} <= learned
    # What ROPG, its heads and the facets learn from is the label step's, asked once.
    assert len(list((root / "steps").glob("label-*"))) == 1
