"""The whole service while its database's disk is full: changes are refused, answers go on, and nothing is lost."""

import os
import re
from pathlib import Path

import pytest

from tests.serve.state.postgres_server import missing
from tests.small_disk import on_small_disk

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(missing()), reason=missing() or "there is a server"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a tablespace must belong to the server's account, which takes root"),
]


def test_changes_are_refused_answers_go_on_and_nothing_is_lost(tmp_path: Path) -> None:
    seen = on_small_disk("tests.serve.full_database", tmp_path)
    tables, log = seen["tables"], seen["log"]
    assert tables["message"].startswith("history server: it cannot store anything now; the service's log says why")
    assert (tables["status"], tables["again"], tables["history"], tables["asked"]) == (503, 503, 200, 200)
    assert tables["degraded"] == []
    assert any(
        re.search("cannot write: .*No space left on device.*; nothing was written", text) for text in seen["said"]
    )
    # Without its log the server goes away: histories cannot be read either, and answers say so.
    assert (log["status"], log["again"], log["asked"]) == (503, 503, 200)
    assert "\n" not in log["message"]
    assert log["degraded"]
    # One that was refused may be there: the server went away before it could say whether.
    assert [item for item in seen["found"] if item in seen["stored"]] == seen["stored"]
    assert len(seen["found"]) <= len(seen["stored"]) + 2
    assert seen["degraded"] == []
