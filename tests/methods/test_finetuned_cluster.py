"""An encoder-decoder fine-tuned by two workers of Ray Train answers for its rows alone, in the workers that ask. (The
packaged LLM, which vLLM serves: `tests/pipeline/test_compare_cluster.py`.)"""

import json
from pathlib import Path

import pytest

from tests.methods.answered_rows import CONFIG, answered_rows
from tests.models.small_t5 import write_t5

COMMON = ("protocol.train_users=6", "protocol.test_users=6", "data.synth.users=24", "llm.max_calls=200",
          "evaluate.methods=[finetuned_k0,recency_k1]", "finetune.lr=0.001", "finetune.epochs=2", "train.zero_stage=2",
          "finetune.holdout=0", "resources.train.num_workers=2")  # fmt: skip


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_its_own_weights_answer_for_its_rows_alone(tmp_path: Path) -> None:
    import pyarrow.dataset as pads

    from hydra_ray.config import load_config
    from hydra_ray.llm.model_id import model_identity
    from hydra_ray.llm.response_cache import ResponseCache
    from hydra_ray.pipeline.lora_serving import with_weights
    from hydra_ray.pipeline.method_costs import asked_rows

    source = write_t5(tmp_path / "t5", dropout_rate=0.1)
    # A random one's answers are of no use.
    overrides = [f"root={tmp_path / 'runs'}", *COMMON, "llm.serve.engine=transformers", f"llm.serve.source={source}",
                 "llm.serve.num_beams=2", "llm.serve.threads=1", "llm.accept_useless=true"]  # fmt: skip

    def run() -> dict[str, str]:
        steps, printed = answered_rows(("finetuned_k0", "recency_k1"), overrides)
        assert "Loading weights" not in printed
        assert "starting vLLM" not in printed
        return steps

    steps = run()
    for folder in steps.values():
        table = pads.dataset(Path(folder) / "answers", format="parquet").to_table()
        assert table["errors"].to_pylist() == [[None]] * 6
    (about,) = (tmp_path / "runs" / "steps").glob("train-method-*/finetuned.json")
    found = json.loads(about.read_text())
    assert found["best_epoch"] == 2
    assert found["epochs"][1]["loss"] < found["epochs"][0]["loss"]
    # Which weights an answer is kept under: the LLM's for one row, its own for the other.
    config = load_config(CONFIG, overrides)
    plain, own = (model_identity(c.llm) for c in (config, with_weights(config, about.parent / "model")))
    assert plain != own
    (ledger_file,) = (tmp_path / "runs").glob("cache/llm.sqlite")
    ledger = ResponseCache(ledger_file, "costs")
    unknown = {
        (row, identity == own): sum(used.unknown for asked in asked_rows(Path(folder), ledger, identity)
                                    for used in asked.used)
        for row, folder in steps.items() for identity in (plain, own)
    }  # fmt: skip
    ledger.close()
    assert unknown == {
        ("finetuned_k0", True): 0,
        ("finetuned_k0", False): 6,
        ("recency_k1", True): 6,
        ("recency_k1", False): 0,
    }
    before = about.stat().st_mtime_ns
    assert run() == steps  # a second run trains and asks nothing
    assert about.stat().st_mtime_ns == before
