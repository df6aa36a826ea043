"""Without keys: pages of other sites, by DNS rebinding or by requests across sites, reach nothing."""

import httpx
import pytest

from hydra_ray.serve.http.middleware.foreign_pages import host_name
from hydra_ray.utils.network import is_loopback
from tests.serve.http.live import TWO_TENANTS, serve, settings

ITEMS = {"items": [{"item_id": "1", "text": "t"}]}
CALLS = [
    ("PUT", "/v1/users/ann/history"),
    ("POST", "/v1/users/ann/fit"),
    ("DELETE", "/v1/users/ann"),
    ("GET", "/v1/users/ann/export"),
    ("GET", "/v1/users"),
    ("POST", "/v1/personalize"),
    ("POST", "/v1/chat/completions"),
]


@pytest.mark.parametrize(
    ("header", "mine"),
    [
        ("localhost:8000", True),
        ("LOCALHOST", True),
        ("localhost.", True),
        ("hydra.localhost:1", True),
        ("127.0.0.1:8000", True),
        ("127.9.9.9", True),
        ("[::1]:8000", True),
        ("evil.example:8000", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("notlocalhost", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
        ("", False),
        ("[::1", False),
    ],
)
def test_names_of_this_machine(header: str, mine: bool) -> None:
    assert is_loopback(host_name(header)) is mine


@pytest.mark.parametrize(("method", "path"), [*CALLS, ("GET", "/"), ("GET", "/v1/none")])
def test_a_rebound_name_reaches_nothing(http: httpx.Client, method: str, path: str) -> None:
    http.put("/v1/users/ann/history", json=ITEMS)
    answer = http.request(method, path, headers={"Host": "evil.example"}, json=ITEMS)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_host")
    assert http.get("/v1/users/ann").json()["items"] == 1


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "ours"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
    ],
)
def test_another_sites_page_changes_and_reads_nothing(
    http: httpx.Client, method: str, path: str, headers: dict[str, str]
) -> None:
    http.put("/v1/users/ann/history", json=ITEMS)
    sent = {name: str(http.base_url).rstrip("/") if value == "ours" else value for name, value in headers.items()}
    answer = http.request(method, path, headers=sent, json=ITEMS)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_origin")
    assert http.get("/v1/users/ann").json()["items"] == 1


def test_the_services_own_page_and_programs_work(http: httpx.Client) -> None:
    own = str(http.base_url).rstrip("/")
    for headers in (
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": own},
        {"Sec-Fetch-Site": "none"},
        {"Origin": own},
    ):
        assert http.put("/v1/users/ann/history", json=ITEMS, headers=headers).status_code == 200
        assert http.get("/v1/users/ann/export", headers=headers).status_code == 200
    link = http.get("/healthz", headers={"Sec-Fetch-Site": "cross-site"})
    assert link.status_code == 200


def test_a_name_that_the_config_allows() -> None:
    with serve(settings(allowed_hosts=("Hydra.Lan",))) as live:
        for host, status in (("hydra.lan:80", 200), ("other.lan", 403)):
            assert httpx.get(f"{live.url}/v1/users", headers={"Host": host}).status_code == status
        own = httpx.put(
            f"{live.url}/v1/users/ann/history",
            json=ITEMS,
            headers={"Host": "hydra.lan", "Origin": "https://hydra.lan"},
        )
        assert own.status_code == 200


def test_keys_need_neither(tenants: dict[str, httpx.Client]) -> None:
    headers = {"Host": "hydra.example", "Sec-Fetch-Site": "cross-site", "Origin": "https://app.example"}
    assert tenants["acme"].get("/v1/users", headers=headers).status_code == 200
    assert TWO_TENANTS.open_tenant is None
