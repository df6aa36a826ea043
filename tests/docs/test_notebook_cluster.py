"""The notebook of `examples/` runs from the first cell to the last, and its outputs are kept with it."""

import os
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.docs.pages import ROOT

NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"
TIMEOUT_S = 600
"""Of one cell."""


def test_the_notebook_was_executed_in_order_and_without_errors() -> None:
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    assert str(ROOT) not in NOTEBOOK.read_text(encoding="utf-8")


@pytest.mark.cluster
def test_the_notebook_goes_from_rows_to_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Relative paths in it start in its own folder.
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    folder = tmp_path / "examples"
    folder.mkdir()
    shutil.copy(NOTEBOOK, folder)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    notebook = nbformat.read(folder / NOTEBOOK.name, as_version=4)
    NotebookClient(notebook, timeout=TIMEOUT_S, resources={"metadata": {"path": str(folder)}}).execute()
    report = folder / "work" / "runs" / "reviews" / "report.json"
    assert report.exists()
    answers = [cell.outputs[-1]["data"]["text/plain"] for cell in notebook.cells if cell.source.endswith(".answer")]
    assert len(answers) == 3
    assert all(answer.strip("()").split()[-1].strip("'") in {"1", "2", "3", "4", "5"} for answer in answers)
