import zipfile
from pathlib import Path

import pytest

from tests.report.lamp_answers import GOLDS, write


@pytest.fixture
def golds(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "golds.zip", "w") as archive:
        for task_id, texts in GOLDS.items():
            archive.write(write(tmp_path / f"{task_id}_golds.json", task_id, texts), f"golds/{task_id}.json")
    return tmp_path / "golds.zip"


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals by length of history are drawn 2,000 times for a real report; no test here looks at their width."""
    monkeypatch.setattr("hydra_ray.report.breakdowns._RESAMPLES", 100)
