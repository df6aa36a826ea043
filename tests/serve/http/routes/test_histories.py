"""Records one by one, in bulk, and from feedback."""

import pytest

from hydra_ray.inference.types import UserKey
from hydra_ray.serve.types import InvalidError
from tests.serve.http.routes.test_users import path

ANN = UserKey("acme", "ann").stored


def put(http, count: int) -> None:
    items = [{"item_id": f"i{i}", "text": f"t{i}", "answer": "a"} for i in range(count)]
    assert http.put(path("ann", "/history"), json={"items": items}).status_code == 200


def test_a_history_is_read_page_by_page(http):
    put(http, 5)
    offset, seen = 0, []
    while offset is not None:
        page = http.get(path("ann", "/history"), params={"offset": offset, "limit": 2}).json()
        assert page["total"] == 5
        seen += [item["item_id"] for item in page["data"]]
        offset = page["next"]
    assert seen == [f"i{i}" for i in range(5)]
    assert http.get(path("ann", "/history"), params={"offset": 9}).json()["data"] == []
    assert http.get(path("nobody", "/history")).json()["error"]["code"] == "user_not_found"
    assert http.get(path("ann", "/history"), params={"limit": 0}).json()["error"]["param"] == "limit"


@pytest.mark.parametrize("item_id", ["i1", "a/b", "a%2Fb", "x y", "ä"])
def test_one_record_is_removed_whatever_its_id(live, http, item_id):
    items = [{"item_id": name, "text": "t"} for name in ("i0", item_id)]
    http.put(path("ann", "/history"), json={"items": items})
    where = path("ann", "/history") + path(item_id).removeprefix("/v1/users")
    assert http.delete(where).json() == {"user_id": "ann", "item_id": item_id, "deleted": True}
    assert list(live.service.histories[ANN]) == ["i0"]
    assert http.delete(where).json()["error"]["code"] == "item_not_found"
    assert http.delete(where.replace(path("ann"), path("bob"))).json()["error"]["code"] == "user_not_found"


def test_feedback_becomes_history_and_the_newest_counts(live, http):
    feedback = {"query": "q", "answer": "b", "right": False, "right_answer": "a"}
    taken = http.post(path("ann", "/feedback"), json=feedback).json()
    assert taken["user"]["items"] == 1
    again = http.post(path("ann", "/feedback"), json={"query": "q", "answer": "b", "right": True}).json()
    assert again["item_id"] == taken["item_id"]
    (item,) = live.service.histories[ANN].values()
    assert (item.text, item.answer, len(item.date)) == ("q", "b", 10)


@pytest.mark.parametrize(
    ("feedback", "word"),
    [
        ({"query": "q", "right": True}, "answer"),
        ({"query": "q", "answer": "b", "right": False}, "right_answer"),
        ({"query": "q", "answer": "b", "right": True, "right_answer": "a"}, "leave one out"),
        ({"query": "q", "answer": "b"}, "right"),
        ({"query": "", "answer": "b", "right": True}, "query"),
    ],
)
def test_feedback_that_says_nothing(live, http, feedback, word):
    answer = http.post(path("ann", "/feedback"), json=feedback)
    assert answer.status_code == 422
    assert word in answer.json()["error"]["message"]
    assert live.service.histories == {}


@pytest.mark.parametrize(("right", "field"), [(True, "answer"), (False, "right_answer")])
def test_feedback_whose_answer_is_no_label_names_its_own_field(live, http, right, field):
    live.service.error = InvalidError("items[0].answer", "'x' is no answer of this task")
    feedback = {"query": "q", "answer": "x", "right": right, **({} if right else {"right_answer": "y"})}
    answer = http.post(path("ann", "/feedback"), json=feedback)
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, field)
