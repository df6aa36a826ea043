"""The response cache's actor, without Ray: what it keeps for the driver."""

from pathlib import Path

import pytest

from hydra_ray.errors import BudgetReachedError, UserError
from hydra_ray.llm.response_cache_actor import _LedgerActor


def actor(file: Path) -> _LedgerActor:
    return _LedgerActor(str(file), "run", None, None, 60.0, None, None, None)


def test_why_a_worker_stopped_is_raised_until_the_next_stage_begins(tmp_path: Path) -> None:
    ledger = actor(tmp_path / "llm.sqlite")
    ledger.check()
    ledger.stopped(BudgetReachedError("llm.max_calls=3 is reached"))
    ledger.lose({"HTTP 500": 2})
    with pytest.raises(BudgetReachedError, match="is reached"):
        ledger.check()
    assert ledger.lost() == {"HTTP 500": 2}
    ledger.begin()
    ledger.check()
    assert ledger.lost() == {}


def test_a_file_that_is_no_cache_is_met_in_a_call_which_the_driver_hears_of(tmp_path: Path) -> None:
    file = tmp_path / "llm.sqlite"
    file.write_text("no SQLite")
    ledger = actor(file)
    with pytest.raises(UserError, match="cannot be used as response cache"):
        ledger.counts()
