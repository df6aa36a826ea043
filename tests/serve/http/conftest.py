from collections.abc import Iterator

import httpx
import openai
import pytest

from tests.serve.http.live import KEYS, TWO_TENANTS, Live, serve, settings


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    """Without keys: every caller is `acme`."""
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
