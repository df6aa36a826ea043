import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hydra_ray.errors import UserError
from hydra_ray.llm.rate_headers import Allowance, Rates
from hydra_ray.llm.response_cache import REFUSED, WAIT, CallOutcome, ResponseCache
from hydra_ray.llm.types import CachedResponse

RECORD = {"texts": ["a"], "prompt_tokens": 5, "completion_tokens": 2}


def test_answers_and_counts_persist(tmp_path: Path):
    ledger = ResponseCache(tmp_path / "deep" / "llm.sqlite", "r")
    (one, two) = ledger.exchange([], [0.0, 0.0])
    ledger.exchange([CallOutcome(one, "k", RECORD, calls=1, cost=0.5, retries=2), CallOutcome(two, failed=1)], done=2)
    assert ledger.done() == 2
    ledger.close()
    again = ResponseCache(tmp_path / "deep" / "llm.sqlite", "r")
    assert again.get_many(["x", "k"]) == [None, RECORD]
    counts = again.counts()
    assert (counts.calls, counts.cached, counts.prompt_tokens, counts.completion_tokens) == (1, 1, 5, 2)
    assert (counts.cost, counts.retries, counts.failed, counts.lost) == (0.5, 2, 1, 0)
    assert ResponseCache(tmp_path / "deep" / "llm.sqlite", "other").counts().calls == 0


def test_many_keys_at_once(tmp_path: Path):
    ledger = ResponseCache(tmp_path / "l", "r")
    granted = ledger.exchange([], [0.0] * 1200)
    ledger.exchange([CallOutcome(g, f"k{i}", RECORD, calls=1) for i, g in enumerate(granted)])
    assert all(ledger.get_many([f"k{i}" for i in range(1200)]))


def test_budget_of_calls_waits_for_flights_then_refuses(tmp_path: Path):
    ledger = ResponseCache(tmp_path / "l", "r", max_calls=2)
    one, two, three = ledger.exchange([], [0.0, 0.0, 0.0])
    assert one > 0
    assert two > 0
    assert three == WAIT
    assert ledger.exchange([CallOutcome(one)], [0.0])[0] > 0  # a call that cost nothing gives its place back
    assert ledger.exchange([CallOutcome(two, calls=1), CallOutcome(two + 1, calls=1)], [0.0]) == [REFUSED]
    assert "llm.max_calls=2" in ledger.budget_message()


def test_budget_of_cost_counts_the_worst_case_in_flight(tmp_path: Path):
    ledger = ResponseCache(tmp_path / "l", "r", max_cost=1.0)
    one, two = ledger.exchange([], [0.7, 0.7])
    assert (one > 0, two) == (True, WAIT)
    (two,) = ledger.exchange([CallOutcome(one, calls=1, cost=0.2)], [0.7])
    assert two > 0
    assert ledger.exchange([CallOutcome(two, calls=1, cost=0.5)], [0.7]) == [REFUSED]
    assert "llm.max_cost=1.0" in ledger.budget_message()


def test_calls_in_flight_when_killed_count_as_lost(tmp_path: Path):
    first = ResponseCache(tmp_path / "l", "r", max_calls=3)
    first.exchange([], [0.0, 0.0])
    first.close()
    second = ResponseCache(tmp_path / "l", "r", max_calls=3)
    assert second.counts().lost == 2
    one, two = second.exchange([], [0.0, 0.0])
    assert one > 0
    assert two in (WAIT, REFUSED)
    assert second.exchange([CallOutcome(one, calls=1)], [0.0]) == [REFUSED]


def test_threads_never_overdraw(tmp_path: Path):
    ledgers = [ResponseCache(tmp_path / "l", "r", max_calls=100)] * 2 + [
        ResponseCache(tmp_path / "l", "r", max_calls=100)
    ]
    granted: list[int] = []

    def take(ledger: ResponseCache) -> None:
        while (reservation := ledger.exchange([], [0.0])[0]) > 0:
            ledger.exchange([CallOutcome(reservation, calls=1)])
            granted.append(reservation)

    threads = [threading.Thread(target=take, args=(ledger,)) for ledger in ledgers]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert ledgers[0].counts().calls == len(granted)
    assert 90 <= len(granted) <= 100  # another process's flights are taken for lost, never for free


def test_a_file_that_is_no_ledger_is_named(tmp_path: Path):
    (tmp_path / "l").write_text("this is a text file, and long enough to be read as a header of something" * 20)
    with pytest.raises(UserError, match="response cache"):
        ResponseCache(tmp_path / "l", "r")


def test_the_longest_wait_for_a_rate_limit_is_kept_until_it_is_asked_for(tmp_path: Path):
    ledger = ResponseCache(tmp_path / "l.sqlite", "a")
    ledger.limits.configure(1, None)
    assert ledger.exchange([], [0.0, 0.0, 0.0], tokens=[1.0] * 3)[1:] == [WAIT, WAIT]
    wait = ledger.waited()
    assert wait is not None
    assert (round(wait.seconds), wait.limit) == (60, "llm.requests_per_minute=1")
    assert ledger.waited() is None


@pytest.mark.parametrize("stated", [False, True])
def test_a_call_that_was_not_answered_holds_no_other_back(tmp_path: Path, stated: bool):
    ledger = ResponseCache(tmp_path / "l.sqlite", "r")
    if stated:
        ledger.limits.learn(Rates(tokens=Allowance(60_000, 60_000, 60.0)), 0, 0.0, 0.0)
    else:
        ledger.limits.configure(None, 60_000)
    for ended in (CallOutcome(0), CallOutcome(0, failed=1), CallOutcome(0, sent=False)):
        (one,) = ledger.exchange([], [0.0], tokens=[60_000.0])
        assert ledger.exchange([], [0.0], tokens=[1_000.0]) == [WAIT]
        ledger.exchange([ended._replace(reservation=one)])
        assert ledger.pause_s(1_000.0) == 0


def test_a_call_that_may_have_been_billed_has_taken_what_was_feared(tmp_path: Path):
    ledger = ResponseCache(tmp_path / "l.sqlite", "r")
    ledger.limits.configure(None, 60_000)
    (one,) = ledger.exchange([], [0.0], tokens=[30_000.0])
    ledger.exchange([CallOutcome(one, calls=1)])
    assert ledger.pause_s(1_000.0) > 20


def test_a_call_that_never_went_out_counts_as_no_request(tmp_path: Path):
    ledger = ResponseCache(tmp_path / "l.sqlite", "r")
    ledger.limits.configure(1, None)
    for _ in range(3):
        (one,) = ledger.exchange([], [0.0])
        assert one > 0
        ledger.exchange([CallOutcome(one, sent=False)])
    (one,) = ledger.exchange([], [0.0])
    ledger.exchange([CallOutcome(one)])
    assert ledger.exchange([], [0.0]) == [WAIT]


def test_a_note_that_is_sent_twice_counts_once(tmp_path: Path):
    ledger = ResponseCache(tmp_path / "l", "r")
    (one,) = ledger.exchange([], [0.0])
    for _ in range(2):
        ledger.exchange([CallOutcome(one, "k", RECORD, calls=1, cost=0.5)])
    counts = ledger.counts()
    assert (counts.calls, counts.prompt_tokens, counts.cost) == (1, 5, 0.5)


def test_an_exchange_that_cannot_be_written_changes_nothing_and_can_be_made_again(tmp_path: Path):
    ledger = ResponseCache(tmp_path / "l", "r")
    ledger.limits.configure(1200, None)
    (one,) = ledger.exchange([], [0.0])
    ledger._db.execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(tmp_path / "l", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    note = CallOutcome(one, "k", RECORD, calls=1)
    with pytest.raises(UserError, match=r"l: cannot be written \(database is locked\): free space on its disk"):
        ledger.exchange([note], [0.0], done=1)
    other.execute("ROLLBACK")
    assert (ledger.counts().calls, ledger.done()) == (0, 0)
    (pages,) = ledger._db.execute("PRAGMA page_count").fetchone()
    ledger._db.execute(f"PRAGMA max_page_count = {pages}")
    big = CachedResponse(texts=[os.urandom(100_000).hex()], prompt_tokens=1, completion_tokens=1)
    with pytest.raises(UserError, match="disk is full"):
        ledger.exchange([note, note._replace(key="big", record=big)], [0.0] * 3, done=1)
    ledger._db.execute(f"PRAGMA max_page_count = {100 * pages}")
    assert ledger.exchange([note], [0.0], done=1) > [0]
    assert (ledger.counts().calls, ledger.done()) == (1, 1)


def test_a_file_of_the_archive_that_cannot_be_noted_blocks_no_exchange(tmp_path: Path):
    ledger = ResponseCache(tmp_path / "l", "r", archive="s3://a")
    with pytest.raises(sqlite3.Error):
        ledger.merge([("k", object())], "f")  # type: ignore[list-item]
    with pytest.raises(sqlite3.Error):
        ledger.saved([object()], "f")  # type: ignore[list-item]
    assert ledger.exchange([], [0.0]) > [0]


def test_survives_sigkill(tmp_path: Path):
    program = f"""
import sys
from pathlib import Path
from hydra_ray.llm.response_cache import CallOutcome, ResponseCache
ledger = ResponseCache(Path({str(tmp_path / "l")!r}), "r")
for i in range(100000):
    (one,) = ledger.exchange([], [0.0])
    record = {{"texts": [str(i)], "prompt_tokens": 1, "completion_tokens": 1}}
    ledger.exchange([CallOutcome(one, f"k{{i}}", record, calls=1)])
    print(i, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    seen = -1
    while seen < 50:
        seen = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    seen = max([seen, *map(int, process.stdout.read().split("\n")[:-1])])
    process.stdout.close()
    ledger = ResponseCache(tmp_path / "l", "r")
    records = ledger.get_many([f"k{i}" for i in range(seen + 1)])
    assert [r and r["texts"] for r in records] == [[str(i)] for i in range(seen + 1)]
    assert seen + 1 <= ledger.counts().calls <= seen + 2
    assert ledger.counts().lost <= 1


def test_a_reservation_of_a_worker_that_is_gone_does_not_wait_for_ever(tmp_path: Path) -> None:
    ledger = ResponseCache(tmp_path / "l.sqlite", "r", max_calls=1, lost_after_s=1.0)
    (one,) = ledger.exchange([], [0.0])
    assert one > 0
    assert ledger.exchange([], [0.0]) == [WAIT]
    time.sleep(1.01)
    assert ledger.exchange([], [0.0]) == [REFUSED]
    # It was only slow: its answer still counts once.
    ledger.exchange([CallOutcome(one, calls=1)])
    assert ledger.counts().calls == 1


def test_looking_up_counts_as_no_use(tmp_path: Path):
    ledger = ResponseCache(tmp_path / "llm.sqlite", "a")
    (reservation,) = ledger.exchange([], [0.0])
    record = CachedResponse(texts=["x"], prompt_tokens=3, completion_tokens=1)
    ledger.exchange([CallOutcome(reservation, "k", record, calls=1)])
    assert ledger.look_up(["k", "other"]) == {"k": record}
    assert ledger.counts().cached == 0
    assert ledger.get_many(["k", "other"]) == [record, None]
    assert ledger.counts().cached == 1
