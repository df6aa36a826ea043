"""Records of a JSON list, checked one by one."""

from pathlib import Path
from typing import Any

import pytest

from hydra_ray.data.rejects import Reject
from hydra_ray.data.sources.find import Source
from hydra_ray.data.sources.records import checked_records
from hydra_ray.errors import UserError
from tests.data.files import write


def test_records_are_checked_one_by_one_and_the_first_decides(tmp_path: Path) -> None:
    source = Source("lamp", 0, tmp_path / "a.json")

    def found(records: list[Any]) -> list[Any]:
        write(source.path, records)
        return list(checked_records(source, "a list of words", lambda r: "" if r == "ok" else "no word",
                                    lambda i, r: f"#{i}", "words"))  # fmt: skip

    assert found(["ok", 3, "ok"]) == [
        (0, "ok"), Reject("a.json", "#1", "malformed_record", "no word: 3"), (2, "ok"),
    ]  # fmt: skip
    with pytest.raises(UserError, match=r"a\.json: not a list of words: its first record has no word"):
        found([3, "ok"])
    with pytest.raises(UserError, match=r"a\.json: holds no words: write or download the file again"):
        found([])
