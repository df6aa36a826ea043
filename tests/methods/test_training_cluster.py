"""The rows that learn from the LLM's answers alone, in a run on a synthetic world behind the packaged LLM."""

from pathlib import Path

import pytest

from tests.methods.answered_rows import answered_rows

ROWS = ("ropg_kd_k1", "ropg_kd_user_k1", "rspg_pre", "rspg_post", "mof_k1")
COMMON = ("protocol.train_users=10", "protocol.test_users=6", "data.synth.users=24", "llm.max_calls=3000",
          f"evaluate.methods=[{','.join(ROWS)}]", "retrieval.similarity=dot", "retrieval.top_n=6",
          "reranker.num_history_queries=2", "protocol.pseudo_queries=2", "resources.train.num_workers=1")  # fmt: skip


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_each_row_learns_and_answers(tmp_path: Path) -> None:
    import pyarrow.dataset as pads

    root = tmp_path / "runs"
    steps, printed = answered_rows(ROWS, [f"root={root}", *COMMON])
    assert "Traceback" not in printed
    for row, folder in steps.items():
        table = pads.dataset(Path(folder) / "answers", format="parquet").to_table()
        assert len(table) == 6, row
        assert not any(error for errors in table["errors"].to_pylist() for error in errors), row
    learned = {file.name for file in (root / "steps").glob("train-method-*/*.json")}
    assert {"retriever.json", "heads.json", "selector.json", "facets.json"} <= learned
    # What ROPG, its heads and the facets learn from is the label step's, asked once.
    assert len(list((root / "steps").glob("label-*"))) == 1
