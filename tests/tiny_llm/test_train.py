"""Training: resumes identically, from the synthetic world and from anyone's users; mistakes are named."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from hydra_ray.config import SynthConfig
from hydra_ray.errors import UserError
from hydra_ray.synth.write import write_world
from hydra_ray.tiny_llm.config import TinyLLMConfig
from hydra_ray.tiny_llm.export import FILES
from hydra_ray.tiny_llm.train import CHECKPOINT, lr_at, stage_at, train_tiny_llm
from tests.tiny_llm.small import SMALL


@pytest.fixture(autouse=True)
def _few_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hydra_ray.tiny_llm.train._FINAL_PROBE", 2)
    monkeypatch.setattr("hydra_ray.tiny_llm.source._TOKENIZER_STEPS", 20)


def test_a_killed_training_ends_the_same(tmp_path: Path) -> None:
    lines: list[str] = []
    train_tiny_llm(SMALL, tmp_path / "whole", log=lines.append)
    train_tiny_llm(SMALL, tmp_path / "cut", log=lines.append, stop_at=4)
    assert (tmp_path / "cut" / CHECKPOINT).exists()
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    train_tiny_llm(SMALL, tmp_path / "cut", log=lines.append)
    assert any("going on from step 4" in line for line in lines)
    assert any("s to go" in line for line in lines)
    whole, cut = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert whole.keys() == cut.keys()
    assert all((whole[name] == cut[name]).all() for name in whole)
    assert {path.name for path in (tmp_path / "cut").iterdir()} == {*FILES, CHECKPOINT, "tokenizer"}
    manifest = json.loads((tmp_path / "cut" / "manifest.json").read_text())
    assert TinyLLMConfig.model_validate(manifest["config"]) == SMALL
    assert set(manifest["behaviour"]) == set(SMALL.tasks)


def test_other_settings_do_not_go_on(tmp_path: Path) -> None:
    train_tiny_llm(SMALL, tmp_path, log=lambda _: None, stop_at=1)
    with pytest.raises(UserError, match="other settings"):
        train_tiny_llm(SMALL.model_copy(update={"lr": 1e-4}), tmp_path, log=lambda _: None)


def test_schedule() -> None:
    config = SMALL.model_copy(update={"steps": 100, "warmup": 10})
    assert [stage_at(config, s) for s in (0, 49, 50, 99)] == [config.stages[i] for i in (0, 0, 1, 1)]
    assert lr_at(config, 0) < lr_at(config, 9) > lr_at(config, 50) > lr_at(config, 99) > 0


def test_from_a_lamp_training_split(tmp_path: Path) -> None:
    write_world(SynthConfig(users=30, items=(3, 5)), tmp_path / "data")
    for dev in (tmp_path / "data").glob("dev_*"):
        dev.unlink()
    config = SMALL.model_copy(update={"data_root": str(tmp_path / "data"), "task": "synthetic_tagging"})
    train_tiny_llm(config, tmp_path / "out", log=lambda _: None)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert set(manifest["behaviour"]["synthetic_tagging"]) == {
        "zero",
        "random4",
        "bm25_1",
        "bm25_4",
        "commonest_answer",
    }
