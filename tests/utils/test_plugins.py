"""Modules of a user's own."""

import sys
from pathlib import Path

import pytest

from hydra_ray.errors import UserError
from hydra_ray.utils import plugins


def test_a_file_is_imported_once_in_a_process(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import sys\nsys.hydra_imports = getattr(sys, 'hydra_imports', 0) + 1\n")
    plugins.load_modules([str(file)])
    plugins.load_modules([str(file), "json"])
    assert sys.__dict__.pop("hydra_imports") == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.py", None, r"cannot be imported \(FileNotFoundError: no such file\)$"),
        ("broken.py", "1 / 0\n", r"cannot be imported \(ZeroDivisionError: division by zero\)$"),
        ("no_such_module", None, r"\(ModuleNotFoundError: .*\); give an installed module, or the path of a \.py file$"),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_line(
    name: str, content: str | None, message: str, tmp_path: Path
) -> None:
    path = str(tmp_path / name) if name.endswith(".py") else name
    if content:
        (tmp_path / name).write_text(content)
    for _ in range(2):
        with pytest.raises(UserError, match=message):
            plugins.load_modules([path])
