"""Records of many users in one body."""

import json

import pytest

from hydra_ray.inference.types import UserKey

ANN = UserKey("acme", "ann").stored


def rows(*trees: dict) -> bytes:
    return "\n".join(json.dumps(tree) for tree in trees).encode()


@pytest.mark.parametrize("array", [False, True])
def test_an_import_reaches_many_users(live, http, array):
    trees = [
        {"user_id": "ann", "item_id": "1", "text": "t", "answer": "a"},
        {"user_id": "bob", "item_id": None, "text": "t", "date": None},
        {"user_id": "ann", "text": "u", "corpus": "c"},
        {"user_id": "ann", "text": "u", "corpus": "c"},  # the same row is the same record
    ]
    body = json.dumps(trees).encode() if array else b"\xef\xbb\xbf" + rows(*trees) + b"\r\n\n"
    assert http.post("/v1/import", content=body).json() == {"users": 2, "items": 3}
    assert [len(live.service.histories[UserKey("acme", user).stored]) for user in ("ann", "bob")] == [2, 1]
    assert http.post("/v1/import", content=body).json() == {"users": 2, "items": 3}
    assert len(live.service.histories[ANN]) == 2


def test_all_mistakes_of_an_import_come_together_and_nothing_is_written(live, http):
    body = rows(
        {"user_id": "ann", "item_id": "1", "text": "t"},
        {"user_id": "", "text": "t"},
        {"text": 5, "user_id": "ann", "stars": 3},
        {"user_id": "ann", "item_id": "1", "text": "another"},
    )
    answer = http.post("/v1/import", content=body + b"\n{no json")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (422, "invalid_rows", "user_id")
    assert error["message"].startswith(
        "nothing was imported: row 2: user_id: must have 1 to 256 characters, not 0; 4 more"
    )
    assert [(problem["row"], problem["param"]) for problem in error["problems"]] == [
        (2, "user_id"),
        (3, "text"),
        (3, "stars"),
        (4, "item_id"),
        (5, "line"),
    ]
    assert "row 1" in error["problems"][3]["message"]
    assert live.service.histories == {}


@pytest.mark.parametrize(
    ("body", "row", "param"),
    [
        (b"", 1, "body"),
        (b"[]", 1, "body"),
        (b"[{]", 1, "body"),
        (b'{"user_id": "a", "text": "t"}\n\xff', 2, "body"),
        (b"5", 1, "row"),
        (b'{"user_id": "a", "text": " "}', 1, "row"),
        (b'{"user_id": "a", "text": "t", "answer": "?"}', 1, "answer"),
        (b'{"user_id": "a", "text": "\\ud800"}', 1, "row"),
        (b"[" * 20_000, 1, "body"),
    ],
)
def test_a_body_that_is_no_import(live, http, body, row, param):
    answer = http.post("/v1/import", content=body)
    assert answer.status_code == 422
    (problem,) = answer.json()["error"]["problems"]
    assert (problem["row"], problem["param"]) == (row, param)
    assert live.service.histories == {}
