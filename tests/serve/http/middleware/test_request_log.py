import json
import logging

from tests.serve.http.live import until

SECRETS = ("the-query", "the-user", "the-text", "the-key", "the-failure")


def test_a_line_a_request(http, lines):
    headers = {"x-request-id": "req-1.a_B", "Authorization": "Bearer the-key-0123456789"}
    answer = http.post("/v1/personalize", json={"query": "the-query", "user_id": "the-user"}, headers=headers)
    assert answer.headers["x-request-id"] == "req-1.a_B"
    assert answer.json()["trace"]["request_id"] == "req-1.a_B"
    until(lambda: lines())
    (line,) = lines()
    assert line.pop("ms") > 0
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "INFO",
        "message": "POST /v1/personalize: 200",
        "route": "POST /v1/personalize",
        "status": 200,
        "request_id": "req-1.a_B",
        "tenant": "acme",
        "degraded": ["user_unknown"],
    }


def test_whatever_is_logged_while_a_request_is_answered_has_its_id(live, http, lines):
    log = logging.getLogger("hydra_ray.serve.clients.llm")
    live.service.personalize, answer = _logging(log, live.service.personalize), live.service.personalize
    try:
        http.post("/v1/personalize", json={"query": "q"}, headers={"x-request-id": "req-2"})
    finally:
        live.service.personalize = answer
    until(lambda: len(lines()) == 2)
    assert [(line["level"], line["request_id"]) for line in lines()] == [("WARNING", "req-2"), ("INFO", "req-2")]
    assert lines()[0]["message"] == "two\nlines"


def _logging(log, answer):
    async def personalize(*args):
        log.warning("two\n%s", "lines")
        return await answer(*args)

    return personalize


def test_nothing_private(live, http, lines):
    live.service.error = RuntimeError("the-failure")
    items = {"items": [{"item_id": "1", "text": "the-text"}]}
    http.put("/v1/users/the-user/history", json=items, headers={"Authorization": "Bearer the-key"})
    live.service.error = None
    http.get("/v1/users", params={"prefix": "the-user"})
    http.get("/v1/users/the-user/none")
    http.post("/v1/personalize", json={"query": "the-query", "the-text": 1})
    until(lambda: len(lines()) == 4)
    failed, *others = lines()
    assert (failed["route"], failed["status"]) == ("PUT /v1/users/{user_id}/history", 500)
    assert failed["error"] == "RuntimeError"
    assert failed["at"].startswith("http/fake_service.py:")
    assert {line["route"] for line in others} == {"GET /v1/users", "no route", "POST /v1/personalize"}
    assert not [secret for secret in SECRETS if secret in json.dumps(lines())]
