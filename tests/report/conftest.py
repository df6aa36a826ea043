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
