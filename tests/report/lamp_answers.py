"""Gold answers of LaMP's tasks, runs that answer them, and commands on both."""

import json
from pathlib import Path
from typing import Any

import pytest

from hydra_ray.cli import main
from hydra_ray.core.tasks import load_task
from hydra_ray.report.rows import AnswerRow
from hydra_ray.report.write import write_predictions

GOLDS = {
    "LaMP_1": ["[1]", "[2]"],
    "LaMP_2": ["comedy", "classic"],
    "LaMP_3": ["5", "2"],
    "LaMP_4": ["The end of it", "A start"],
    "LaMP_5": ["On graphs", "On trees"],
    "LaMP_6": ["Lunch", "Re: lunch"],
    "LaMP_7": ["good night all", "so tired"],
}


def write(path: Path, task_id: str, texts: list[str]) -> Path:
    entries = [{"id": f"q{i}", "output": text} for i, text in enumerate(texts)]
    path.write_text(json.dumps({"task": task_id, "golds": entries}))
    return path


def run_of(folder: Path, lamp_id: str, answers: list[str], seeds: tuple[int, ...] = (0,)) -> Path:
    """A finished run's folder, as far as its predictions go."""
    name = {"LaMP_2": "lamp_2m"}.get(lamp_id, lamp_id.lower())
    rows = [
        AnswerRow(seed, f"u{i}", f"q{i}", "", 3, {"hydra": text, "zero_shot": "x"}, {}, frozenset(), False)
        for seed in seeds
        for i, text in enumerate(answers)
    ]
    write_predictions(folder / "predictions", load_task(name), rows, lamp_id)
    return folder


def call(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[Any, str]:
    assert main([str(word) for word in words]) == 0
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    assert main([str(word) for word in words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err
