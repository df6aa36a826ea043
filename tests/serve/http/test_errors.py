"""Every answer that is no success has OpenAI's shape, and says nothing of our insides."""

import pytest

from hydra_ray.inference.types import DeadlineError, LLMDownError, OverloadedError, RefusedError, StageDownError
from hydra_ray.serve.types import InvalidError
from tests.serve.http.live import JSON, error_of


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "path_not_found"),
        ("GET", "/v1/models/", 404, "path_not_found"),
        ("PATCH", "/v1/users/ann", 405, "method_not_allowed"),
        ("GET", "/v1/personalize", 405, "method_not_allowed"),
        ("GET", "/v1/users?limit=0", 422, "invalid_value"),
        ("GET", "/v1/users?limit=many", 422, "invalid_value"),
    ],
)
def test_the_frameworks_errors(http, method, path, status, code):
    answer = http.request(method, path)
    assert answer.status_code == status
    assert error_of(answer)["code"] == code


def test_a_field_is_named_where_it_stands(http):
    items = {"items": [{"item_id": "1", "text": "t"}, {"item_id": "", "text": "t"}]}
    assert error_of(http.put("/v1/users/a/history", json=items))["param"] == "items[1].item_id"
    assert error_of(http.put("/v1/users/a/history", json={"items": []}))["param"] == "items"
    half = b'{"items": [{"item_id": "\\ud800", "text": "t"}]}'
    assert http.put("/v1/users/a/history", content=half, headers=JSON).status_code == 422


def test_what_a_client_sends_comes_back_short(http):
    answer = http.post("/v1/personalize", json={"query": "q", "x" * 30_000: 1})
    assert answer.status_code == 422
    assert len(answer.text) < 1500


def test_unknown_task(http):
    answer = http.post("/v1/personalize", json={"query": "q", "task": "lamp_2n"})
    assert answer.status_code == 404
    error = error_of(answer)
    assert (error["code"], error["param"]) == ("task_not_found", "task")
    assert "synthetic_tagging" in error["message"]
    assert http.post("/v1/personalize", json={"query": "q", "task": "synthetic_tagging"}).status_code == 200


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OverloadedError(), 429, "overloaded"),
        (LLMDownError("x"), 503, "llm_down"),
        (StageDownError("x"), 503, "stage_down"),
        (DeadlineError(), 504, "deadline"),
        (RefusedError("too long"), 400, "refused_by_model"),
        (InvalidError("items[0].answer", "is no label"), 422, "invalid_value"),
        (RuntimeError("the secret text"), 500, "internal_error"),
        (KeyError("the secret text"), 500, "internal_error"),
    ],
)
def test_the_services_errors_on_every_route(live, http, error, status, code):
    live.service.error = error
    items = {"items": [{"item_id": "1", "text": "t"}]}
    for answer in (
        http.post("/v1/personalize", json={"query": "q"}),
        http.put("/v1/users/a/history", json=items),
        http.get("/v1/users/a"),
        http.get("/v1/users/a/export"),
        http.get("/v1/users"),
        http.post("/v1/users/a/fit"),
        http.delete("/v1/users/a"),
    ):
        assert answer.status_code == status
        shown = error_of(answer)
        assert shown["code"] == code
        assert "secret" not in answer.text
        assert "Traceback" not in answer.text
        assert ("retry-after" in answer.headers) == (status in {429, 503})
        if status == 500:
            assert answer.headers["x-request-id"] in shown["message"]
