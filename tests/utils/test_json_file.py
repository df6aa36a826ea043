import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from hydra_ray.utils.json_file import json_file


@pytest.mark.parametrize("entries", [[], ["1"], ["1", "2"]])
def test_a_list_is_written_entry_by_entry(tmp_path: Path, entries: list[str]) -> None:
    with ExitStack() as files:
        file = json_file(files, tmp_path / "f.json", "[]")
        for entry in entries:
            file.add(entry)
    assert json.loads((tmp_path / "f.json").read_text()) == [int(entry) for entry in entries]


def test_after_an_error_the_old_file_is_there(tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text("old")
    with pytest.raises(TypeError), ExitStack() as files:  # noqa: PT012 - what stands before the error counts
        file = json_file(files, tmp_path / "f.json", "{}")
        file.add('"a": 1')
        file.add(f'"b": {json.dumps({1, 2})}')
    assert [file.name for file in tmp_path.iterdir()] == ["f.json"]
    assert (tmp_path / "f.json").read_text() == "old"
