"""Limits of a key by minute, and what is counted: alone, and shared by gateways through the state folder."""

import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest

from hydra_ray.serve.http import key_limits as module
from hydra_ray.serve.http.errors import ApiError
from hydra_ray.serve.http.key_limits import KeyLimits
from hydra_ray.serve.http.keys import Key
from hydra_ray.serve.state.sqlite.usage_file import FILE, UsageFile
from hydra_ray.serve.state.usage import Slot, UsageUnavailableError, Used

NOON = 1_814_356_800.0  # 2027-06-30 12:00 UTC
CI = Key("acme", b"\x01" * 32, "ci", requests=3, tokens=100)
FREE = Key("acme", b"\x02" * 32)


class Clock:
    def __init__(self) -> None:
        self.now = NOON + 10

    def __call__(self) -> float:
        return self.now


def refused(limits: KeyLimits, key: Key = CI) -> ApiError:
    with pytest.raises(ApiError) as raised:
        limits.admit(key)
    assert raised.value.status == 429
    assert raised.value.code == "rate_limit_exceeded"
    return raised.value


def test_requests_a_minute() -> None:
    clock = Clock()
    limits = KeyLimits(clock=clock)
    left = [limits.admit(CI)["x-ratelimit-remaining-requests"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    problem = refused(limits)
    assert str(problem) == "this key's limit of 3 requests a minute is reached"
    assert problem.headers["Retry-After"] == "50"
    assert problem.headers["x-ratelimit-limit-requests"] == "3"
    clock.now = NOON + 60
    assert limits.admit(CI)["x-ratelimit-remaining-requests"] == "2"


def test_tokens_a_minute_are_counted_after_the_answer() -> None:
    clock = Clock()
    limits = KeyLimits(clock=clock)
    limits.admit(CI)
    limits.spent(CI, 99)
    assert limits.admit(CI)["x-ratelimit-remaining-tokens"] == "1"
    limits.spent(CI, 50)
    assert str(refused(limits)) == "this key's limit of 100 tokens a minute is reached"
    clock.now += 60
    limits.admit(CI)


def test_a_key_without_limits() -> None:
    limits = KeyLimits(clock=Clock())
    for _ in range(1000):
        assert limits.admit(FREE) == {}
        limits.spent(FREE, 10**9)


def test_what_was_used_by_day_and_key() -> None:
    clock = Clock()
    limits = KeyLimits(clock=clock)
    for _ in range(3):
        limits.admit(CI)
    refused(limits)
    limits.spent(CI, 7)
    clock.now += 86400
    limits.admit(FREE)
    found = {(slot.day, slot.name): used for slot, used in limits.days("acme", "2027-06-30")}
    assert found == {("2027-06-30", "ci"): Used(3, 1, 7), ("2027-07-01", ""): Used(1, 0, 0)}
    assert [slot.day for slot, _ in limits.days("acme", "2027-07-01")] == ["2027-07-01"]
    assert limits.days("other", "2027-01-01") == []


def test_two_gateways_share_what_they_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SYNC_S", 0.0)
    clock = Clock()
    one, two = (KeyLimits(UsageFile(tmp_path), clock) for _ in range(2))

    async def settled(limits: KeyLimits) -> None:
        assert limits._syncing is not None
        await limits._syncing

    async def course() -> None:
        one.admit(CI)
        one.admit(CI)
        one.spent(CI, 5)
        await settled(one)
        two.admit(CI)  # it does not know yet
        await settled(two)
        refused(two)  # 2 + 1
        two.spent(CI, 1)
        await settled(two)
        one.spent(FREE, 4)
        await settled(one)
        refused(one)
        await settled(one)

    asyncio.run(course())
    found = {slot.name: used for slot, used in UsageFile(tmp_path).days("acme", "2027-06-30")}
    assert found == {"ci": Used(3, 2, 6), "": Used(0, 0, 4)}
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_nothing_is_counted_twice_or_lost_while_it_is_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SYNC_S", 0.0)
    clock = Clock()
    limits = KeyLimits(UsageFile(tmp_path), clock)

    async def course() -> None:
        for _ in range(2):
            limits.admit(CI)
            await asyncio.sleep(0)
        assert limits._syncing is not None
        await limits._syncing
        assert limits.admit(CI)["x-ratelimit-remaining-requests"] == "0"
        refused(limits)
        await limits._syncing

    asyncio.run(course())
    assert [used for _, used in limits.days("acme", "2027-06-30")] == [Used(3, 1, 0)]


def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 1000)
    with pytest.raises(UsageUnavailableError, match=f"{FILE}: cannot be used: file is not a database"):
        UsageFile(tmp_path).add({}, 1)
    with pytest.raises(UsageUnavailableError, match="unable to open"):
        UsageFile(tmp_path / "not there").days("acme", "2027-06-30")


def test_a_file_that_cannot_be_written_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SYNC_S", 0.0)
    file = UsageFile(tmp_path)
    limits = KeyLimits(file, Clock())
    real, failures = file.add, [UsageUnavailableError("locked"), UsageUnavailableError("stale")]

    def add(counted: Any, minute: int) -> dict[str, Used]:
        if failures:
            raise failures.pop()
        return real(counted, minute)

    monkeypatch.setattr(file, "add", add)

    async def course() -> None:
        for _ in range(3):
            limits.admit(CI)
        assert limits._syncing is not None
        await limits._syncing
        refused(limits)
        await limits._syncing

    asyncio.run(course())
    assert failures == []
    assert [used for _, used in limits.days("acme", "2027-06-30")] == [Used(3, 1, 0)]


def test_old_minutes_go(tmp_path: Path) -> None:
    file, slot = UsageFile(tmp_path), Slot("acme", "k", "ci", "2027-06-30", 100)
    assert file.add({slot: Used(1, 0, 2)}, 100) == {"k": Used(1, 0, 2)}
    assert file.add({slot: Used(1, 0, 2)}, 100) == {"k": Used(2, 0, 4)}
    assert file.add({}, 106) == {}
    assert file.add({}, 100) == {}
