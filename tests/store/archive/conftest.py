from collections.abc import Iterator
from itertools import count
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from hydra_ray.store.archive.object_store import ObjectStore

_NUMBERS = count()


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """host:port of an S3 server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "any")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "any")
        yield f"{host}:{port}"
    server.stop()


@pytest.fixture(params=["s3", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a place that holds nothing, on a real S3 server and in a folder."""
    if request.param == "file":
        return f"file://{tmp_path}/archive"
    address, bucket = request.getfixturevalue("s3_address"), f"bucket{next(_NUMBERS)}"
    boto3.client("s3", endpoint_url=f"http://{address}", region_name="us-east-1").create_bucket(Bucket=bucket)
    return f"s3://{bucket}/runs?scheme=http&endpoint_override={address}"


@pytest.fixture
def store(url: str) -> ObjectStore:
    return ObjectStore(url)
