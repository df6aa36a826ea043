"""The disk beneath the users fills up."""

from pathlib import Path

from tests.small_disk import on_small_disk


def test_what_was_taken_stays_and_more_is_taken_once_there_is_room(tmp_path: Path) -> None:
    seen = on_small_disk("tests.serve.state.full_disk", tmp_path)
    assert seen["taken"] > 50
    for words in (seen["words"], seen["again"]):
        assert "cannot write: database or disk is full; nothing was written: make room" in words
        assert "\n" not in words
    assert seen["found"] == seen["reopened"] == seen["taken"]
    assert seen["after"] == seen["taken"] + 1
