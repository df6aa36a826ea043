"""Key files: who may read them, and keys that change while the service runs: put in, taken out, broken, gone."""

import logging
import os
import stat
from pathlib import Path

import pytest

from hydra_ray.serve.http.key_file import REMIND_S, REREAD_S, KeyRing, _shared, load_keys

KEY, OTHER = "0123456789abcdef", "fedcba9876543210"


class World:
    def __init__(self, folder: Path) -> None:
        self.file, self.now = folder / "keys", 0.0
        self.write(f"acme:{KEY}\n")
        self.ring = KeyRing(load_keys(self.file, None), str(self.file), lambda: self.now)

    def write(self, text: str, mode: int = 0o600) -> None:
        self.file.write_text(text)
        self.file.chmod(mode)

    def opens(self, key: str = KEY) -> bool:
        """Whether the key opens, as soon as the file has been read again."""
        self.now += REREAD_S
        return self.ring.now.find(f"Bearer {key}") is not None


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_it_is_read_again_within_five_seconds() -> None:
    assert REREAD_S < 5


def test_a_key_that_is_taken_out_opens_nothing_and_a_new_one_does(world: World) -> None:
    assert world.opens()
    world.write(f"bolt:{OTHER} name=new\n")
    assert world.ring.now.find(f"Bearer {KEY}") is not None, "not read more often than said"
    assert not world.opens()
    assert world.opens(OTHER)
    world.write("# nobody any more\n")
    assert not world.opens(OTHER)


@pytest.mark.parametrize("fault", ["gone", "broken", "shared", "no text"])
def test_a_file_that_cannot_be_used_changes_nothing_and_is_logged(
    world: World, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    if fault == "gone":
        world.file.unlink()
    elif fault == "broken":
        world.write(f"bolt:{OTHER}\nacme\n")
    elif fault == "shared":
        world.write(f"bolt:{OTHER}\n", 0o644)
    else:
        world.file.write_bytes(b"\xff\xfe")
    with caplog.at_level(logging.ERROR):
        assert [world.opens() for _ in range(5)] == [True] * 5
        assert world.opens(OTHER) is False
        assert len(caplog.records) == 1
        world.now += REMIND_S
        assert world.opens()
        assert len(caplog.records) == 2
    assert "the keys that were read before count" in caplog.text
    assert KEY not in caplog.text
    assert OTHER not in caplog.text
    world.write(f"bolt:{OTHER}\n")
    assert (world.opens(OTHER), world.opens()) == (True, False)


def test_keys_of_the_variable_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_RAY_SERVE_KEYS", f"acme:{KEY}")
    ring = KeyRing(load_keys(None, None))
    monkeypatch.delenv("HYDRA_RAY_SERVE_KEYS")
    assert ring.now.find(f"Bearer {KEY}") is not None


@pytest.mark.parametrize(
    ("mode", "owner", "me", "shared"),
    [
        (0o600, 1000, 1000, False),
        (0o640, 1000, 1000, True),
        (0o604, 1000, 1000, True),
        (0o440, 0, 1000, False),
        (0o460, 0, 1000, True),
        (0o444, 0, 1000, True),
        (0o440, 0, 0, True),
        (0o440, 7, 1000, True),
    ],
)
def test_who_may_read_it(mode: int, owner: int, me: int, shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: me)
    about = os.stat_result((stat.S_IFREG | mode, 0, 0, 1, owner, 0, 0, 0, 0, 0))
    assert _shared(about) == shared
