"""configs/examples: what init-task makes of the made-up files, ingested and turned into prompts."""

from pathlib import Path

import pytest

from hydra_ray.config import load_config
from hydra_ray.core.tasks import load_task
from hydra_ray.data.ingest import ingest_in_process
from hydra_ray.data.reader import read_users
from hydra_ray.data.sources.find import data_root
from hydra_ray.init_task import init_task
from hydra_ray.pipeline.stage_prompts import LabelPrompts

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "configs" / "examples"
KINDS = {"tickets.csv": "classification", "reviews.jsonl": "rating", "replies.jsonl": "generation"}


def test_every_file_is_tested() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.suffix != ".yaml"} == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_from_the_file_to_prompts(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    stem = name.split(".")[0]
    config = load_config(EXAMPLES / f"{stem}.yaml")
    task = load_task(config.data.task)
    assert task.kind == KINDS[name]
    counts = ingest_in_process(config, task, data_root(config.data), tmp_path / "out")
    assert (counts["users"], counts["questions"]) == ({"train": 6, "test": 2}, {"train": 18, "test": 6})
    assert (counts["rejects"], counts["warnings"]) == ({}, {})
    users = list(read_users(tmp_path / "out", "train"))
    for user in users:
        assert all(user.items[i].date < question.date for question in user.questions for i in question.history)
    made = [prompted for _, prompted in LabelPrompts(config.model_dump(mode="json"), 0, None)(users)]
    requests = [request for prompted in made for request in prompted.requests]
    assert requests
    for request in requests:
        content = request.messages[0]["content"]
        assert content.startswith(task.shown_instruction)
        assert content.endswith(f"\n{task.answer_label}:")
        assert all(label in task.shown_instruction for label in task.labels)
    if task.kind == "generation":
        assert "Dear Mr Lang,\n\nThank you" in "".join(r.messages[0]["content"] for r in requests)


@pytest.mark.parametrize("name", KINDS)
def test_the_yaml_is_what_init_task_writes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    init_task(f"configs/examples/{name}", tmp_path)
    stem = name.split(".")[0]
    for file in (f"{stem}.yaml", f"{stem}_task.yaml"):
        made = (tmp_path / file).read_text().replace(str(tmp_path), "configs/examples")
        assert made == (EXAMPLES / file).read_text()
