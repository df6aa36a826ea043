"""The disk beneath a run's root fills up in the midst of a step."""

from pathlib import Path

from tests.small_disk import on_small_disk


def test_one_line_says_so_and_the_step_is_done_once_there_is_room(tmp_path: Path) -> None:
    seen = on_small_disk("tests.pipeline.full_root", tmp_path)
    assert seen["codes"] == [2, 2]
    for words in seen["words"]:
        (line,) = [line for line in words.splitlines() if "error" in line]
        assert "No space left on device" in line
        assert "Traceback" not in words
    kinds = [f"{split}_{kind}.json" for split in ("dev", "train") for kind in ("outputs", "questions")]
    assert seen["files"] == sorted([*kinds, "manifest.json", "world.json"])
