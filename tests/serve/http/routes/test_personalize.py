"""`POST /v1/personalize` over real HTTP."""

import pytest

PATH = "/v1/personalize"


def test_the_answer_comes_with_its_trace_and_options_reach_the_request(live, http):
    options = {"n": 2, "temperature": 0.25, "max_tokens": 9, "seed": 4, "plain": True}
    answer = http.post(PATH, json={"query": "which tag?", "user_id": "ann", "options": options})
    assert answer.status_code == 200
    assert answer.json()["trace"]["user_id"] == "ann"
    user, ask, _ = live.service.requests[-1]
    assert (user.tenant, user.user_id) == ("acme", "ann")
    assert (ask.query, ask.n, ask.temperature, ask.max_tokens, ask.seed) == ("which tag?", 2, 0.25, 9, 4)
    assert ask.plain


def test_the_task_is_the_runs(http):
    assert http.post(PATH, json={"query": "q", "task": "synthetic_tagging"}).status_code == 200
    answer = http.post(PATH, json={"query": "q", "task": "lamp_3"})
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "task_not_found"
    assert answer.json()["error"]["param"] == "task"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"query": " "}, "query"),
        ({}, "query"),
        ({"query": "q", "options": {"deadline_s": 0}}, "options.deadline_s"),
        ({"query": "q", "options": {"n": 0}}, "options.n"),
        ({"query": "q", "options": {"beam": 2}}, "options.beam"),
    ],
)
def test_a_wrong_field_is_named(http, body, param):
    answer = http.post(PATH, json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == param
