"""Documents of anyone's users."""

import json
import re
from pathlib import Path

import pytest

from hydra_ray.config import TabularConfig
from hydra_ray.core.tasks import load_task
from hydra_ray.data.sources.tabular import split_of
from hydra_ray.synth.world import make_user
from hydra_ray.tiny_llm.config import StageConfig, TinyLLMConfig
from hydra_ray.tiny_llm.users_corpus import UsersSource, read_training_users
from tests.tiny_llm.small import SMALL


@pytest.fixture(autouse=True)
def _few_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hydra_ray.tiny_llm.train._FINAL_PROBE", 2)
    monkeypatch.setattr("hydra_ray.tiny_llm.source._TOKENIZER_STEPS", 20)


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
