"""Training: resumes identically, from the synthetic world and from anyone's users; mistakes are named."""

import json
import re
from pathlib import Path

import pytest
from safetensors.torch import load_file

from hydra_ray.config import SynthConfig, TabularConfig
from hydra_ray.core.tasks import load_task
from hydra_ray.data.sources.tabular import split_of
from hydra_ray.errors import UserError
from hydra_ray.synth.world import make_user
from hydra_ray.synth.write import write_world
from hydra_ray.tiny_llm.config import ShapeConfig, StageConfig, TinyLLMConfig
from hydra_ray.tiny_llm.export import FILES
from hydra_ray.tiny_llm.source import source_of
from hydra_ray.tiny_llm.train import CHECKPOINT, lr_at, stage_at, train_tiny_llm
from hydra_ray.tiny_llm.users_corpus import UsersSource, read_training_users

SMALL = TinyLLMConfig(
    shape=ShapeConfig(layers=2, width=32, heads=2, feedforward=32, vocab=2000, window=512),
    steps=6,
    tokens=400,
    warmup=2,
    stages=(StageConfig(share=0.5, examples=(1, 2), hints=1.0), StageConfig(share=0.5, examples=(1, 2))),
    checkpoint_every=3,
    probe_every=1000,
)


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


def test_held_out_users_are_only_measured_on() -> None:
    users = [make_user("tagging", 0, index, (3, 5), 1).to_user() for index in range(20)]
    source = UsersSource(SMALL, load_task("synthetic_tagging"), users)
    measured = {item.text for _, items in source.measured for item in items}
    assert len(source.measured) == 2
    for step in range(30):
        for document in source.documents(SMALL.stages[0], step):
            assert not any(text in document.prompt for text in measured)
    assert source.documents(SMALL.stages[0], 3) == source.documents(SMALL.stages[0], 3)


def test_swapped_labels_are_the_same_for_the_same_label() -> None:
    users = [make_user("tagging", 0, index, (12, 12), 1).to_user() for index in range(4)]
    config = SMALL.model_copy(update={"swapped": 1.0, "summaries": 0.0, "with_summary": 0.0, "similar": 0.0})
    source = UsersSource(config, load_task("synthetic_tagging"), users)
    true = {item.text: item.answer for _, items in source.trained for item in items}
    swapped = 0
    for step in range(20):
        for document in source.documents(StageConfig(share=1, examples=(3, 3)), step):
            notes = re.findall(r"Note: (.*)\nTag:(.*)", document.prompt + document.answer)
            pairs = {(true[text], label.strip()) for text, label in notes}
            assert len(pairs) == len(dict(pairs)) == len({label for _, label in pairs})
            swapped += any(own != label for own, label in pairs)
    assert swapped > 10


def test_own_rows_train_on_the_training_users_alone(tmp_path: Path) -> None:
    rows = [
        {
            "user_id": f"u{user}",
            "item_id": f"{user}-{i}",
            "text": f"text {user} {i}",
            "tag": "cat",
            "date": "2020-01-01",
        }
        for user in range(40)
        for i in range(3)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = load_task("synthetic_tagging")
    task = task.model_copy(update={"text_fields": ("text",), "answer_field": "tag", "labels": ("cat", "dog")})
    users = read_training_users(TinyLLMConfig(data_root=str(tmp_path), tabular=TabularConfig()), task)
    assert 20 < len(users) < 40
    assert {user.user_id for user in users} == {
        f"u{i}" for i in range(40) if split_of(f"u{i}", TabularConfig().test_share) == "train"
    }


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="task: needed"):
        source_of(SMALL.model_copy(update={"data_root": str(tmp_path)}))
    with pytest.raises(UserError, match="no such file"):
        read_training_users(TinyLLMConfig(data_root=str(tmp_path)), load_task("synthetic_tagging"))
    with pytest.raises(UserError, match="2 are needed"):
        UsersSource(SMALL, load_task("synthetic_tagging"), [make_user("tagging", 0, 0, (5, 5), 1).to_user()])
