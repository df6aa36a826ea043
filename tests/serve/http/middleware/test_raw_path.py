"""Ids in paths, whatever characters they hold."""

from hypothesis import HealthCheck, given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from hydra_ray.inference.types import UserKey

ITEMS = {"items": [{"item_id": "1", "text": "t", "answer": "a"}]}
TRICKS = ["../x", "a/b", "a/export", "/", "//", "%2F", "%2e%2e", "a%00", "...", "a?b#c", "+", "export", "\\..\\", " "]
MORE_TRICKS = ["x/history", "*", "a;b", "ä/ö", "💡", "ﬃ", "e\u0301", "\u202e", "\u2028", "'; drop table users; --"]

ids = st.one_of(
    st.sampled_from(TRICKS + MORE_TRICKS),
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=256),
).filter(lambda user_id: user_id not in {".", ".."})


def path(user_id: str, rest: str = "") -> str:
    return "/v1/users/" + "".join(f"%{byte:02X}" for byte in user_id.encode()) + rest


@bounded(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(ids)
def test_any_id_is_a_user_of_its_own(live, http, user_id):
    live.service.histories.clear()
    assert http.put(path(user_id, "/history"), json=ITEMS).json()["user_id"] == user_id
    assert list(live.service.histories) == [UserKey("acme", user_id).stored]
    assert http.get(path(user_id)).json()["user_id"] == user_id
    assert http.get(path(user_id, "/export")).json()["items"][0]["answer"] == "a"
    assert http.post(path(user_id, "/fit")).status_code == 202
    assert [user["user_id"] for user in http.get("/v1/users", params={"prefix": user_id}).json()["data"]] == [user_id]
    made = http.post("/v1/personalize", json={"query": "q", "user_id": user_id}).json()
    assert (made["trace"]["user_id"], made["trace"]["items"]) == (user_id, 1)
    assert http.delete(path(user_id)).json() == {"user_id": user_id, "deleted": True}
    assert http.get(path(user_id)).status_code == 404
    assert not live.service.histories


@bounded(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    st.one_of(
        st.sampled_from([".", "..", "x" * 257, "\x00", "\x7f", "a\x85", "\n", "a\x1fb"]),
        st.tuples(st.text(max_size=9), st.characters(categories=["Cc"]), st.text(max_size=9)).map("".join),
    )
)
def test_no_id(http, user_id):
    for answer in (
        http.get(path(user_id)),
        http.put(path(user_id, "/history"), json=ITEMS),
        http.delete(path(user_id)),
        http.post("/v1/personalize", json={"query": "q", "user_id": user_id}),
    ):
        assert answer.status_code == 422
        assert answer.json()["error"]["param"] == "user_id"


def test_an_empty_id_is_no_path(http):
    assert http.get("/v1/users//export").status_code == 404
    assert http.get("/v1/users/").status_code == 404


def test_bytes_that_are_no_utf8(http):
    for raw in ("%FF", "%C3", "%ED%A0%80", "a%80b"):
        assert http.get(f"/v1/users/{raw}").status_code == 422
