"""Bodies that are not what they should be."""

import pytest

from tests.serve.http.live import JSON, error_of

DEEP = b"[" * 20_000 + b"]" * 20_000


@pytest.mark.parametrize(
    ("body", "ours", "chat"),
    [
        (b"{", 400, 400),
        (b'{"query": "q",}', 400, 400),
        (b"\xff\xfe\xfd", 400, 400),
        (DEEP, 400, 400),
        (b"9" * 5000, 400, 400),
        (b"", 422, 400),
        (b"null", 422, 400),
        (b"[]", 422, 400),
        (b'"text"', 422, 400),
        (b"NaN", 422, 400),
        (b"{}", 422, 400),
        (b'{"query": 5, "messages": 5, "model": 5}', 422, 400),
        (b'{"query": "\\ud800", "model": "\\udfff"}', 422, 400),
        (b'{"\\ud800": 1, "query": "q"}', 422, 400),
        (b'{"query": "q", "none": 1}', 422, 400),
        (b'{"query": " "}', 422, 400),
        (b'{"query": "q", "options": {"temperature": 1e999}, "temperature": 1e999}', 422, 400),
        (b'{"query": "q", "options": {"n": true}, "n": "1"}', 422, 400),
    ],
)
def test_bodies(http, body, ours, chat):
    for path, status in (("/v1/personalize", ours), ("/v1/chat/completions", chat)):
        answer = http.post(path, content=body, headers=JSON)
        assert answer.status_code == status, answer.text
        error_of(answer)


def test_a_body_of_another_type(http):
    for headers in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}):
        answer = http.post("/v1/personalize", content=b'{"query": "q"}', headers=headers)
        assert answer.status_code == 422
        assert "Content-Type: application/json" in error_of(answer)["message"]
