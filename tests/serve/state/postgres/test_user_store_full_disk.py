"""The disk beneath a database's tables, or its write-ahead log, fills up."""

import os
from pathlib import Path

import pytest

from tests.serve.state.postgres_server import missing
from tests.small_disk import on_small_disk

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "there is a server")


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


def test_where_its_log_has_no_room_the_database_is_away_and_loses_nothing(tmp_path: Path) -> None:
    seen = on_small_disk("tests.serve.state.full_log", tmp_path)
    assert seen["taken"] > 50
    for words, why in ((seen["words"], ": cannot write: "), (seen["again"], ": cannot be used: ")):
        assert words.startswith("database 'users' ")
        assert why in words
        assert "\n" not in words
    assert "No space left on device" in seen["words"]
    # One that was refused may be there: the server went away before it could say whether.
    assert seen["taken"] <= seen["found"] <= seen["taken"] + 1
    assert seen["reopened"] == seen["found"]
    assert seen["after"] == seen["found"] + 1
