"""Key files: who may read them, and keys that change while the service runs: put in, taken out, broken, gone."""

import logging
import os
import stat
from pathlib import Path

import pytest

from hydra_ray.cli import main
from hydra_ray.errors import UserError
from hydra_ray.serve.http.key_file import REMIND_S, REREAD_S, KeyRing, _shared, load_keys
from tests.serve.http.key_of import KEY, OTHER, tenant


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


@pytest.fixture
def key_file(tmp_path):
    def write(text: str | bytes, mode: int = 0o600) -> str:
        file = tmp_path / "keys"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        file.chmod(mode)
        return str(file)

    return write


def test_a_file_of_keys(key_file):
    keys = load_keys(key_file(f"# of the team\n\nacme:{KEY}\n bolt : {OTHER} \r\nacme:{KEY}2\n"), None)
    assert tenant(keys, f"Bearer {KEY}") == "acme"
    assert tenant(keys, f"bearer  {OTHER} ") == "bolt"
    assert tenant(keys, f"Bearer {KEY}2") == "acme"


def test_a_file_need_not_hold_the_keys_but_their_hashes(key_file, capsys):
    assert main(["new-key", "acme"]) == 0
    output = capsys.readouterr()
    key = output.err.split()[-1]
    assert key not in output.out
    assert tenant(load_keys(key_file(output.out), None), f"Bearer {key}") == "acme"
    with pytest.raises(UserError, match="the same key as in line 1"):
        load_keys(key_file(f"{output.out}acme:{key}\n"), None)
    assert main(["new-key", "no tenant"]) == 2
    assert "is no tenant" in capsys.readouterr().err


def test_the_variable(monkeypatch):
    monkeypatch.setenv("HYDRA_RAY_SERVE_KEYS", f"acme:{KEY},bolt:{OTHER}")
    assert tenant(load_keys(None, None), f"Bearer {OTHER}") == "bolt"
    monkeypatch.setenv("HYDRA_RAY_SERVE_KEYS", f"acme:{KEY},bolt:short")
    with pytest.raises(UserError, match="HYDRA_RAY_SERVE_KEYS, entry 2: the key has 5 characters"):
        load_keys(None, None)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660])
def test_a_file_that_others_can_read(key_file, mode):
    file = key_file(f"acme:{KEY}\n", mode)
    with pytest.raises(UserError, match=f"chmod 600 {file}"):
        load_keys(file, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no keys"),
        ("# nothing\n", "holds no keys"),
        (f"acme:{KEY}\nacme\n", "line 2: is no tenant:key"),
        (f"a b:{KEY}", "line 1: 'a b' is no tenant"),
        (f":{KEY}", "line 1: '' is no tenant"),
        (f"a\x1fb:{KEY}", "line 1: 'a.x1fb' is no tenant"),
        ("acme:0123456789abcde", "line 1: the key has 15 characters; give it at least 16"),
        ("acme:0123456789 abcdef", "line 1: the key holds blanks"),
        ("acme:0123456789abcdeé", "line 1: the key holds blanks or odd characters"),
        (f"acme:{KEY}\n\nbolt:{KEY}", "line 3: the same key as in line 1"),
        ("acme:blake2b:0123", "line 1: what follows blake2b: is no hash"),
        (b"acme:\xff\xfe", "is no text"),
    ],
)
def test_a_bad_file(key_file, text, says):
    with pytest.raises(UserError, match=says) as raised:
        load_keys(key_file(text), None)
    assert KEY not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        load_keys(tmp_path / "none", None)


def test_neither_keys_nor_leave_to_do_without():
    with pytest.raises(UserError, match="no API keys"):
        load_keys(None, None)


def test_keys_and_without_keys(key_file, monkeypatch):
    with pytest.raises(UserError, match="take out the one or the other"):
        load_keys(key_file(f"acme:{KEY}"), "default")
    monkeypatch.setenv("HYDRA_RAY_SERVE_KEYS", f"acme:{KEY}")
    with pytest.raises(UserError, match="HYDRA_RAY_SERVE_KEYS"):
        load_keys(None, "default")
