"""What keys have used, shared by gateways through a file."""

import asyncio
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest

from hydra_ray.serve.http import key_limits as module
from hydra_ray.serve.http.key_limits import KeyLimits
from hydra_ray.serve.state.usage_file import FILE, Slot, UsageFile, Used
from tests.serve.http.limited_keys import CI, FREE, Clock, refused


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


def test_a_file_that_cannot_be_written_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SYNC_S", 0.0)
    file = UsageFile(tmp_path)
    limits = KeyLimits(file, Clock())
    real, failures = file.add, [sqlite3.OperationalError("locked"), OSError("stale")]

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
