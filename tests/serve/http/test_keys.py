import pickle

import pytest

from hydra_ray.cli import main
from hydra_ray.errors import UserError
from hydra_ray.serve.http.key_file import load_keys
from hydra_ray.serve.http.key_lines import parse_keys
from hydra_ray.serve.http.keys import Keys

KEY, OTHER = "0123456789abcdef", "fedcba9876543210"


def tenant(keys: Keys, authorization: str | None) -> str | None:
    """Whose key stands in the header."""
    found = keys.find(authorization)
    return found.tenant if found else None


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv("HYDRA_RAY_SERVE_KEYS", raising=False)


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


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", f"Basic {KEY}", KEY, f"Bearer {KEY[:-1]}", "Bearer é"]
)
def test_an_unknown_key(header):
    assert tenant(parse_keys([f"acme:{KEY}"], "test"), header) is None


def test_the_keys_themselves_are_not_kept():
    keys = parse_keys([f"acme:{KEY}"], "test")
    assert KEY not in repr(keys)
    assert KEY.encode() not in pickle.dumps(keys)
    assert tenant(pickle.loads(pickle.dumps(keys)), f"Bearer {KEY}") == "acme"


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


def test_every_key_is_compared(monkeypatch):
    from hydra_ray.serve.http import keys as module

    keys, compared = parse_keys([f"acme:{KEY}", f"bolt:{OTHER}"], "test"), []
    real = module.hmac.compare_digest
    monkeypatch.setattr(module.hmac, "compare_digest", lambda a, b: compared.append(b) or real(a, b))
    assert tenant(keys, f"Bearer {KEY}") == "acme"
    assert len(compared) == 2


def test_the_variable(monkeypatch):
    monkeypatch.setenv("HYDRA_RAY_SERVE_KEYS", f"acme:{KEY},bolt:{OTHER}")
    assert tenant(load_keys(None, None), f"Bearer {OTHER}") == "bolt"
    monkeypatch.setenv("HYDRA_RAY_SERVE_KEYS", f"acme:{KEY},bolt:short")
    with pytest.raises(UserError, match="HYDRA_RAY_SERVE_KEYS, entry 2: the key has 5 characters"):
        load_keys(None, None)


def test_without_keys_everybody_is_one_tenant():
    keys = load_keys(None, "default")
    assert keys == Keys.open("default")
    assert tenant(keys, None) == tenant(keys, "Bearer x") == "default"


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
