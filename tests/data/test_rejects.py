"""What is set aside, and why."""

from pathlib import Path

import pytest

import hydra_ray.data.rejects as subject
from hydra_ray.data.rejects import KEPT, REASONS, Reject, RejectWriter, excerpt, read_rejects


def test_rejects_come_back_in_the_order_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "_GROUP", 2)  # several row groups
    written = [Reject("a.json", str(i), "empty_text", f"detail {i}") for i in range(5)]
    later = Reject("b.json", "0", "missing_user")
    with RejectWriter(tmp_path / "rejects" / "read-1.parquet") as writer:
        writer.add(later)
    with RejectWriter(tmp_path / "rejects" / "read-0.parquet") as writer:
        for reject in written:
            writer.add(reject)
    assert list(read_rejects(tmp_path)) == [*written, later]


def test_no_reject_no_file(tmp_path: Path) -> None:
    with RejectWriter(tmp_path / "rejects" / "none.parquet"):
        pass
    assert list(tmp_path.iterdir()) == []
    assert list(read_rejects(tmp_path)) == []


def test_details_are_one_short_line() -> None:
    assert excerpt("two\n  lines") == "two lines"
    assert excerpt(["a"]) == "['a']"
    assert excerpt("x" * 301) == "x" * 297 + "..."
    assert len(excerpt("x" * 300)) == 300


def test_warnings_are_reasons() -> None:
    assert set(REASONS) >= KEPT
