"""Objects on a real S3 server and in a folder: the same from both."""

from pathlib import Path

import moto.settings
import pytest

from hydra_ray.errors import UserError
from hydra_ray.store.archive.object_store import ObjectStore


def test_what_is_written_is_read_listed_replaced_and_deleted(store: ObjectStore) -> None:
    assert store.read("a/one") is None
    assert store.sizes("a") == {}
    store.write("a/one", b"first")
    store.write("a/deep/two", b"")
    store.write("a/one", b"other")
    assert store.read("a/one") == b"other"
    assert store.sizes("a") == {"a/one": 5, "a/deep/two": 0}
    store.delete(["a/one", "a/none"])
    assert store.sizes("a") == {"a/deep/two": 0}
    store.delete_folder("a")
    store.delete_folder("a")
    assert store.sizes("a") == {}


def test_folders_come_back_as_they_went(store: ObjectStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "empty").write_bytes(b"")
    (source / "deep" / "er" / "large").write_bytes(bytes(range(256)) * 50_000)
    store.upload(source, "x/y", ["empty", "deep/er/large"])
    store.download("x/y", tmp_path / "target")
    assert (tmp_path / "target" / "empty").read_bytes() == b""
    assert (tmp_path / "target" / "deep" / "er" / "large").read_bytes() == bytes(range(256)) * 50_000


def test_a_bucket_that_is_not_there_is_one_line(s3_address: str) -> None:
    store = ObjectStore(f"s3://nowhere/runs?scheme=http&endpoint_override={s3_address}")
    with pytest.raises(
        UserError, match=r"^archive s3://nowhere/runs.*: cannot write a: .*NO_SUCH_BUCKET.*check the URL"
    ):
        store.write("a", b"x")


@pytest.mark.parametrize("url", ["s3"], indirect=True)
def test_wrong_credentials_are_one_line_without_them(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ObjectStore(url).write("a", b"x")
    monkeypatch.setattr(moto.settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0.0)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    store = ObjectStore(url)
    for what in (lambda: store.write("a", b"y"), lambda: store.read("a")):
        with pytest.raises(UserError, match=r"^archive s3://.*: cannot (write|read) a: .*credentials") as caught:
            what()
        assert "\n" not in str(caught.value)
        assert "wrong" not in str(caught.value)
    monkeypatch.undo()
    assert ObjectStore(url).read("a") == b"x"


@pytest.mark.cluster  # the SDK tries again for six seconds
def test_a_server_that_is_not_there_is_one_line() -> None:
    store = ObjectStore("s3://bucket/runs?scheme=http&endpoint_override=127.0.0.1:9")
    with pytest.raises(UserError, match=r"cannot read a: .*Failed to connect to 127\.0\.0\.1:9"):
        store.read("a")


def test_an_unknown_option_of_a_url_is_one_line() -> None:
    with pytest.raises(UserError, match="Unexpected query parameter in S3 URI: 'regoin'"):
        ObjectStore("s3://bucket/runs?regoin=eu")
