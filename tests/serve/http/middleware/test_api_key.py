"""Who may come in, and that no tenant reaches another tenant's users."""

import json

import httpx
import pytest
from fastapi.routing import APIRoute

from hydra_ray.core.token_estimate import estimate_tokens
from hydra_ray.inference.types import LLMDownError
from hydra_ray.serve.http import key_file
from hydra_ray.serve.http.app import make_app
from tests.serve.http.fake_service import FakeService
from tests.serve.http.live import SECRETS, TWO_TENANTS, get, settings, until

ITEMS = {"items": [{"item_id": "secret", "text": "t"}]}

ROUTES = [
    (method, route.path)
    for route in make_app(FakeService, settings(TWO_TENANTS)).routes
    if isinstance(route, APIRoute) and route.path.startswith("/v1")
    for method in sorted(route.methods)
]


@pytest.mark.parametrize(("method", "path"), [*ROUTES, ("GET", "/v1/none"), ("PATCH", "/v1/models")])
def test_nothing_without_a_key(tenants, method, path):
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        answer = tenants[""].request(method, path, headers=headers, content=b"{broken")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["error"]["code"] == "invalid_api_key"


def test_open_to_all(tenants):
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
        assert tenants[""].get(path).status_code == 200
    assert "//" not in tenants[""].get("/docs").text.replace("https://github.com", "").split("<body>")[0]


def test_a_tenant_sees_its_own_users_alone(tenants):
    assert tenants["acme"].put("/v1/users/ann/history", json=ITEMS).status_code == 200
    assert tenants["acme"].get("/v1/users/ann/export").json()["items"][0]["item_id"] == "secret"
    other = tenants["bolt"]
    for method, path in (("GET", ""), ("GET", "/export"), ("DELETE", ""), ("POST", "/fit")):
        assert other.request(method, f"/v1/users/ann{path}").status_code == 404
    assert other.get("/v1/users").json() == {"data": []}
    asked = other.post("/v1/personalize", json={"query": "q", "user_id": "ann"}).json()
    assert asked["trace"]["degraded"][0]["reason"] == "user_unknown"
    assert "secret" not in asked["answer"]
    assert tenants["acme"].get("/v1/users").json()["data"][0]["user_id"] == "ann"


def test_another_tenants_name_in_an_id_is_no_way_in(tenants):
    tenants["acme"].put("/v1/users/eve/history", json=ITEMS)
    assert tenants["bolt"].get("/v1/users/acme%1Feve").status_code == 422
    assert tenants["bolt"].get("/v1/users", params={"prefix": "\x1f"}).status_code == 422
    assert tenants["bolt"].get("/v1/users/..%2Facme%2Feve").status_code == 404


def test_an_expired_key(kept):
    answer = get(kept[0], "/v1/users", "old")
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        401,
        "this API key has expired: ask for a new one",
    )


def test_a_stream_that_breaks_off_is_counted_too(kept):
    live, _ = kept
    live.service.late_error = LLMDownError("it broke its answer off")
    messages = [{"role": "user", "content": "which tag?"}]
    body = {"model": "made-up:plain", "messages": messages, "stream": True}
    headers = {"Authorization": f"Bearer {SECRETS['streams']}"}
    answer = httpx.post(f"{live.url}/v1/chat/completions", json=body, headers=headers)
    live.service.late_error = None
    assert answer.text.count("chat.completion.chunk") == 1

    def tokens():
        days = get(live, "/v1/usage", "plain").json()["data"]
        return [day["tokens"] for day in days if day["key"] == "streams"]

    expected = estimate_tokens(json.dumps(messages)) + 1  # the prompt, and one chunk
    until(lambda: tokens() == [expected])


def test_a_key_is_revoked_while_the_service_runs(kept, monkeypatch):
    live, file = kept
    assert get(live, "/v1/users", "plain").status_code == 200
    monkeypatch.setattr(key_file, "REREAD_S", 0.0)
    file.write_text(f"acme:{SECRETS['few']}\n")
    assert get(live, "/v1/users", "plain").status_code == 401
