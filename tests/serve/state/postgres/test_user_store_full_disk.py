"""The disk beneath a database's tables fills up."""

import os
from pathlib import Path

import pytest

from tests.serve.state.postgres_server import missing
from tests.small_disk import on_small_disk


@pytest.mark.skipif(bool(missing()), reason=missing() or "there is a server")
@pytest.mark.skipif(os.geteuid() != 0, reason="a tablespace must belong to the server's account, which takes root")
def test_what_was_taken_stays_and_more_is_taken_once_there_is_room(tmp_path: Path) -> None:
    seen = on_small_disk("tests.serve.state.full_tablespace", tmp_path)
    assert seen["taken"] > 50
    for words in (seen["words"], seen["again"]):
        assert words.startswith("database 'users' ")
        assert ": cannot write: " in words
        assert "No space left on device" in words
        assert words.endswith("; nothing was written")
        assert "\n" not in words
    assert seen["found"] == seen["reopened"] == seen["taken"]
    assert seen["after"] == seen["taken"] + 1
