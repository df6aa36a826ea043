"""Who may come in, and that nobody reaches another tenant's users."""

import pytest
from fastapi.routing import APIRoute

from hydra_ray.serve.http.app import make_app
from tests.serve.http.fake_service import FakeService
from tests.serve.http.live import TWO_TENANTS, settings

ITEMS = {"items": [{"item_id": "secret", "text": "t"}]}
ROUTES = [
    (method, route.path)
    for route in make_app(FakeService, settings(TWO_TENANTS)).routes
    if isinstance(route, APIRoute) and route.path.startswith("/v1")
    for method in route.methods
]


@pytest.mark.parametrize(("method", "path"), [*ROUTES, ("GET", "/v1/none"), ("PATCH", "/v1/models")])
def test_nothing_without_a_key(tenants, method, path):
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        answer = tenants[""].request(method, path, headers=headers, content=b"{broken")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["error"]["code"] == "invalid_api_key"


def test_open_to_all(tenants):
    for path in ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"):
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
