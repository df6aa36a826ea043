"""What travels with a submitted job, and the notes on what does not."""

import json
from pathlib import Path

import pytest

from hydra_ray import job_entry
from hydra_ray.cli import main
from hydra_ray.config import Config, load_config
from hydra_ray.core.tasks import load_task
from hydra_ray.errors import UserError
from hydra_ray.jobs.parcel import MOST_BYTES, notes, pack, unpack

TASK = """kind: classification
text_fields: [text]
answer_field: answer
instruction: "Which one, für alle?"
primary_metric: accuracy
labels: [a, b]
"""


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A task file in the folder where the command is typed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tickets.yaml").write_text(TASK, encoding="utf-8")
    return tmp_path / "tickets.yaml"


def test_the_task_file_travels(task: Path, tmp_path: Path) -> None:
    root = tmp_path / "shared"
    variables = pack(load_config(None, ["data.task=tickets.yaml", f"root={root}"]))
    task.unlink()  # on another machine
    config = unpack(variables)
    kept = Path(config["data"]["task"])
    assert kept.is_relative_to(root)
    assert kept.read_text(encoding="utf-8") == TASK
    assert load_task(str(kept)).name == "tickets"
    assert Config.model_validate(config).root == str(root)
    assert unpack(variables) == config, "the same task has one file"


def test_a_task_of_the_package_needs_no_file(tmp_path: Path) -> None:
    variables = pack(load_config(None, ["data.task=lamp_3", f"root={tmp_path}"]))
    assert len(variables) == 1
    assert unpack(variables)["data"]["task"] == "lamp_3"
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_travel(task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", "--address", "http://127.0.0.1:9"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hydra-ray: error: root: 'runs' is relative, and jobs start in a folder of Ray's: write")
    with pytest.raises(UserError, match=r"data\.task: .*none\.yaml: No such file"):
        pack(Config.model_validate({"root": "/r", "data": {"task": "/tmp/none.yaml"}}))
    task.write_text(TASK + "#" * MOST_BYTES)
    with pytest.raises(UserError, match="longer than the 100,000 bytes"):
        pack(load_config(None, ["data.task=tickets.yaml", "root=/r"]))


def test_what_stays_behind_is_listed(task: Path) -> None:
    api = load_config(None, ["root=/shared/runs", "data.root=/shared/data", "data.task=tickets.yaml",
                             "retrieval.ranking=/shared/r.json", "llm.base_url=https://host/v1",
                             "llm.model=m", "llm.api_key_env=MY_KEY"])  # fmt: skip
    lines = list(notes(api))
    assert lines[0].startswith(
        "every node must see root=/shared/runs, data.root=/shared/data, retrieval.ranking=/shared/r.json"
    )
    assert lines[1] == f"data.task={task} travels; the job keeps it in /shared/runs/tasks"
    assert lines[2].startswith("the LLM's key does not travel, as Ray shows a job's environment: MY_KEY must stand in")
    (task.parent / "mine.py").write_text("")
    (line,) = notes(load_config(None, ["root=/shared/runs", "plugins=[mine.py, json]"]))
    assert line == f"every node must see root=/shared/runs, plugins[0]={task.parent}/mine.py: files do not travel"
    served = list(notes(load_config(None, ["root=/shared/runs"])))
    assert len(served) == 1


def test_a_root_that_the_job_cannot_write_is_one_line(
    task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    variables = pack(load_config(None, ["data.task=tickets.yaml", f"root={tmp_path}/file"]))
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setattr("sys.argv", ["jobs_entry", "run"])
    assert job_entry.run_submitted() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "root must be a folder that the job's node can write" in line
    assert json.loads(variables["HYDRA_RAY_CONFIG"])["root"] == f"{tmp_path}/file"
