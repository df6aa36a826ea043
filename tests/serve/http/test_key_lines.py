"""Names, ends and limits of keys, as a file holds them and as `new-key` writes them."""

import pickle
from datetime import UTC, datetime

import pytest

from hydra_ray.cli import main
from hydra_ray.errors import UserError
from hydra_ray.serve.http.key_lines import new_key, parse_keys
from hydra_ray.serve.http.keys import Key, expiring
from tests.serve.http.key_of import KEY, tenant

NOON = datetime(2027, 6, 30, 12, tzinfo=UTC)


def one(options: str) -> Key:
    (key,) = parse_keys([f"acme:{KEY} {options}"], "test").keys
    return key


def test_options() -> None:
    key = one("name=ci  requests=60 tokens=100000 expires=2027-06-30T12:00Z")
    assert (key.tenant, key.name, key.requests, key.tokens) == ("acme", "ci", 60, 100000)
    assert key.expires == NOON.timestamp()
    plain = one("")
    assert (plain.name, plain.requests, plain.tokens) == ("", None, None)
    assert plain.expires is None
    assert plain.id == key.id
    assert len(plain.id) == 12


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2027-06-30", datetime(2027, 7, 1, tzinfo=UTC)),  # a day counts to its end
        ("2027-06-30T12:00", NOON),
        ("2027-06-30T14:00+02:00", NOON),
    ],
)
def test_when_a_key_ends(text: str, moment: datetime) -> None:
    key = one(f"expires={text}")
    assert key.expires == moment.timestamp()
    assert not key.expired(moment.timestamp() - 1)
    assert key.expired(moment.timestamp())
    assert not one("").expired(1e12)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("request=5", "'request=5' is no option of a key; there are name=, expires=, requests=, tokens="),
        ("name=a b", "'b' is no option"),
        ("name=", "name='': must be 1 to 64"),
        ("name=ä", "name='ä': must be 1 to 64"),
        ("name=a name=b", "name= is given twice"),
        ("requests=0", "requests='0': must be a whole number a minute, at least 1"),
        ("tokens=-5", "tokens='-5': must be"),
        ("tokens=1.5", "tokens='1.5': must be"),
        ("expires=soon", "expires='soon': is no date; write 2027-06-30"),
        ("expires=2027-02-30", "expires='2027-02-30': is no date"),
        ("expires=9999-12-31", "expires='9999-12-31': is no date"),
    ],
)
def test_options_that_are_none(options: str, says: str) -> None:
    with pytest.raises(UserError, match="test, line 1: ") as raised:
        one(options)
    assert says in str(raised.value)
    assert KEY not in str(raised.value)


def test_new_key_writes_what_the_file_takes(capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--name", "ci", "--expires", "2027-06-30", "--requests", "60", "--tokens", "900"]
    assert main(["new-key", "acme", *more]) == 0
    output = capsys.readouterr()
    (key,) = parse_keys([output.out], "test").keys
    assert parse_keys([output.out], "test").find(f"Bearer {output.err.split()[-1]}") == key
    assert output.out.endswith(" name=ci expires=2027-06-30 requests=60 tokens=900\n")
    assert (key.name, key.requests, key.tokens) == ("ci", 60, 900)
    for wrong in (["--expires", "soon"], ["--requests", "0"], ["--name", "a b"]):
        assert main(["new-key", "acme", *wrong]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("hydra-ray: error: new-key: ")


def test_days_from_now() -> None:
    _, line = new_key("acme", expires="90d", now=NOON)
    assert line.endswith(" expires=2027-09-28T12:00Z")
    (key,) = parse_keys([line], "test").keys
    assert key.expires == NOON.timestamp() + 90 * 86400


def test_keys_that_end_soon_are_named() -> None:
    now = NOON.timestamp()
    keys = (one("name=old expires=2027-06-29"), one("name=soon expires=2027-07-01"), one("name=ever"))
    assert expiring(keys, 3 * 86400, now) == [
        "key old of acme: expired 2027-06-30 00:00 UTC",
        "key soon of acme: expires 2027-07-02 00:00 UTC",
    ]


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
