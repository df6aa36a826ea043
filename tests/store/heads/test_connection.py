"""Where a store is."""

import http.server
import threading
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from hydra_ray.errors import UserError
from hydra_ray.store.heads.head_store import HeadStore
from tests.store.made_up import SPEC


@pytest.mark.parametrize(
    ("change", "message"),
    [({"base": "base-2"}, "another base: 'base-1' where 'base-2'"),
     ({"kind": "bayesian_linear"}, "another head kind: 'linear'"),
     ({"width": 9}, "another width: 8 where 9"), ({"rank": 2}, "another rank"), ({"buckets": 8}, "another buckets")],
)  # fmt: skip
def test_store_of_another_model(tmp_path: Path, change: dict[str, object], message: str) -> None:
    HeadStore.create(str(tmp_path / "heads"), SPEC)
    with pytest.raises(UserError, match=message):
        HeadStore.open(str(tmp_path / "heads"), expect=replace(SPEC, **change))


def test_no_store_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no head store there"):
        HeadStore.open(str(tmp_path))
    with pytest.raises(UserError, match="No object store provider found for scheme: 'nosuch'"):
        HeadStore.open("nosuch://bucket/heads")
    HeadStore.create(str(tmp_path / "heads"), SPEC)
    with pytest.raises(UserError, match="already exists"):
        HeadStore.create(str(tmp_path / "heads"), SPEC)


class Recorder(http.server.BaseHTTPRequestHandler):
    """An object store without objects that keeps what it was asked."""

    requests: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.requests.append(f"{self.path} {self.headers['Authorization']}")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<ListBucketResult></ListBucketResult>")

    def log_message(self, *args: object) -> None:
        pass


def test_uri_and_options_reach_the_object_store() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        options = {"aws_endpoint": f"http://127.0.0.1:{server.server_port}", "allow_http": "true", "aws_region": "here",
                   "aws_access_key_id": "key-1", "aws_secret_access_key": "x", "client_max_retries": "0"}  # fmt: skip
        with pytest.raises(UserError, match="s3://box/heads: no head store there"):
            HeadStore.open("s3://box/heads", options=options)
        server.shutdown()
    assert any("box" in line and "heads" in line and "Credential=key-1/" in line for line in Recorder.requests)
