import threading

import httpx

from tests.serve.http.live import until

ITEMS = {"items": [{"item_id": "1", "text": "t", "answer": "a"}]}


def path(user_id: str, rest: str = "") -> str:
    return "/v1/users/" + "".join(f"%{byte:02X}" for byte in user_id.encode()) + rest


def test_users_are_listed_by_prefix_and_at_most_limit(http):
    for user_id in ("b2", "a1", "b1", "b3"):
        http.put(path(user_id, "/history"), json=ITEMS)
    listed = http.get("/v1/users", params={"prefix": "b", "limit": 2}).json()["data"]
    assert [user["user_id"] for user in listed] == ["b1", "b2"]
    assert len(http.get("/v1/users").json()["data"]) == 4


def test_unknown_users(http):
    for method, rest in (("GET", ""), ("GET", "/export"), ("POST", "/fit"), ("DELETE", "")):
        answer = http.request(method, path("nobody", rest))
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "user_not_found")


def test_a_change_goes_on_when_its_client_hangs_up(live, http):
    live.service.gate = threading.Event()
    try:
        http.put(path("ann", "/history"), json=ITEMS, timeout=0.3)
    except httpx.ReadTimeout:
        live.service.gate.set()
    until(lambda: live.service.histories)
    live.service.gate = None
    assert http.get(path("ann")).json()["items"] == 1
