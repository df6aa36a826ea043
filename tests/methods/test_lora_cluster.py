"""The rows with LoRA on the packaged LLM: trained on Ray, loaded by vLLM, asked by name."""

import json
from pathlib import Path

import pytest

from tests.methods.answered_rows import answered_rows

ROWS = ("task_lora_k0", "peft_k0", "oppu_k0", "oppu_pag_k1")
COMMON = ("protocol.train_users=4", "protocol.test_users=6", "data.synth.users=24", "llm.max_calls=200",
          f"evaluate.methods=[{','.join(ROWS)}]", "lora.lr=0.03", "lora.task_lr=0.03",
          "resources.fit.num_workers=1", "lora.epochs=4")  # fmt: skip


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_each_row_is_answered_by_its_own_adapters(tmp_path: Path) -> None:
    import pyarrow.dataset as pads

    def run() -> dict[str, str]:
        steps, printed = answered_rows(ROWS, [f"root={tmp_path / 'runs'}", *COMMON])
        assert "Loading weights" not in printed
        assert "Writing model shards" not in printed
        return steps

    steps = run()
    texts = {}
    for row, folder in steps.items():
        table = pads.dataset(Path(folder) / "answers", format="parquet").to_table()
        assert table["errors"].to_pylist() == [[None]] * 6
        texts[row] = sorted(str(answers) for answers in table["texts"].to_pylist())
    assert len({tuple(found) for found in texts.values()}) == 4  # other adapters, other answers
    adapters = sorted((tmp_path / "runs" / "steps").glob("train-method-*/served/*/adapter_config.json"))
    assert len(adapters) == 18
    assert {json.loads(file.read_text())["r"] for file in adapters} == {8, 16}  # alone, and with the task's
    asked = {}
    for file in (tmp_path / "runs" / "steps").glob("summarise-*/manifest.json"):
        manifest = json.loads(file.read_text())
        asked[manifest["step"]] = manifest["counts"]["requests"], manifest["counts"]["cached"]
    assert asked == {"summarise-users": (10, 0), "summarise": (6, 6)}  # the evaluated users' serve both
    before = {file: file.stat().st_mtime_ns for file in adapters}
    assert run() == steps  # a second run trains and asks nothing
    assert {file: file.stat().st_mtime_ns for file in adapters} == before
