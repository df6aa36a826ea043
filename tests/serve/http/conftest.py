import threading
from collections.abc import Iterator

import httpx
import openai
import pytest

from hydra_ray.serve.http.key_file import load_keys
from hydra_ray.serve.state.sqlite.usage_file import UsageFile
from tests.serve.http.live import KEYS, OPTIONS, SECRETS, TWO_TENANTS, Live, serve, settings


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    """Without keys: every caller is `acme`. One for all files: `as_new` undoes what a test changes."""
    with serve(settings()) as running:
        yield running


@pytest.fixture(autouse=True)
def as_new(request: pytest.FixtureRequest) -> Iterator[None]:
    """Undoes what a test told the shared service to do."""
    yield
    if "live" in request.fixturenames:
        service = request.getfixturevalue("live").service
        service.histories, service.error, service.gate, service.requests = {}, None, None, []
        service.late_error, service.forwarded = None, []


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key comes from where the tests run."""
    monkeypatch.delenv("HYDRA_RAY_SERVE_KEYS", raising=False)


@pytest.fixture
def http(live: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.url, timeout=10) as client:
        yield client


@pytest.fixture
def client(live: Live) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{live.url}/v1", api_key="any", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def tenants() -> Iterator[dict[str, httpx.Client]]:
    """A client of each of two tenants, and one without a key (``)."""
    with serve(settings(TWO_TENANTS)) as running:
        keys = {"": None, **KEYS}
        yield {
            tenant: httpx.Client(base_url=running.url, headers={"Authorization": f"Bearer {key}"} if key else {})
            for tenant, key in keys.items()
        }


@pytest.fixture
def narrow() -> Iterator[Live]:
    """Room for two answers and bodies of 2000 bytes."""
    with serve(settings(in_flight=2, body_bytes=2000)) as running:
        running.service.gate = threading.Event()
        yield running


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A service whose keys stand in a file, and the file."""
    folder = tmp_path_factory.mktemp("keys")
    file = folder / "keys"
    file.write_text("".join(f"acme:{key} {OPTIONS.get(name, '')}\n" for name, key in SECRETS.items()))
    file.chmod(0o600)
    with serve(settings(load_keys(file, None), key_file=str(file), usage=UsageFile(folder))) as live:
        yield live, file
